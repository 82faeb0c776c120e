import json
import shutil
import types

import numpy as np
import pytest
import torch
from report_files import HOSTILE, read

from declouds.image_io import read_image
from declouds.models.cloud_remover import CloudRemover
from declouds.report.pictures import (
    ERROR,
    WEIGHT,
    bands_to_show,
    error_map,
    legend,
    limits_of,
    map_picture,
    picture,
)
from declouds.report.scored_model import KEPT, StepRecorder
from declouds.value_range import ValueRange


@pytest.fixture(scope="module")
def shown(measured_run, tmp_path_factory):
    """A report of the run with pictures of its two worst images and of one that was asked for."""
    from declouds.evaluation.results import read_run
    from declouds.report.write_report import ReportOptions, write_report

    out = tmp_path_factory.mktemp("out") / "report"
    options = ReportOptions(images=("1",), worst=2, device="cpu")
    assert write_report([read_run(measured_run)], out, options) == []
    return out, read(out)["runs"][0]


def test_the_worst_images_and_those_asked_for_have_pictures(shown):
    folder, run = shown
    assert run["notice"] is None
    assert [pictures["name"] for pictures in run["pictures"]] == ["1", HOSTILE, "2"]
    for pictures in run["pictures"]:
        assert pictures["differs"] is None  # the model run again scores as before
        files = [value for value in pictures.values() if isinstance(value, str) and value.startswith("images/")]
        files += [drawn["file"] for drawn in pictures["maps"]]
        files += [step["files"][name] for step in pictures["steps"] for name in ("x_t", "clear_hat", "weight", "fused")]
        assert len(files) == len(set(files)) == 6 + 3 + 3 * 4
        for file in files:
            assert set(file) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./")
            assert read_image(folder / file).shape == (3, 24, 32)


def test_the_pictures_show_what_was_measured(shown, measured_run):
    folder, run = shown
    pictures = run["pictures"][0]
    for name, kind in (("cloudy", "cloud"), ("clear", "label")):
        original = read_image(measured_run / "data" / kind / "1.png")
        assert np.array_equal(read_image(folder / pictures[name]), original)
    result, clear = (read_image(folder / pictures[name]).astype(float) for name in ("result", "clear"))
    rows = json.loads((measured_run / "scores" / "results.json").read_text())["methods"]["DE"]["per_image"]
    psnr = 10 * np.log10(255**2 / np.square(result - clear).mean())
    assert psnr == pytest.approx(rows[0]["official.psnr"], abs=0.3)  # rounded here, cut off there
    assert [(drawn["step"], drawn["of"]) for drawn in pictures["maps"]] == [(1, 3), (2, 3), (3, 3)]
    assert all(drawn["mean"] == pytest.approx(0.9, abs=1e-6) for drawn in pictures["maps"])
    assert [step["t"] for step in pictures["steps"]] == sorted((step["t"] for step in pictures["steps"]), reverse=True)
    expected = map_picture(torch.full((1, 1), 0.9), WEIGHT).astype(int)
    assert abs(read_image(folder / pictures["maps"][0]["file"]) - expected).max() < 4  # the next colour at most


def copy_of(measured_run, tmp_path, **changes):
    """Copy the scores alone, with other words on where they come from."""
    shutil.copytree(measured_run / "scores", tmp_path / "moved")
    file = tmp_path / "moved" / "results.json"
    content = json.loads(file.read_text())
    content["about"] |= changes
    file.write_text(json.dumps(content))
    return tmp_path / "moved"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"checkpoint": "/nowhere/model.safetensors"}, "give --checkpoint FILE"),
        ({"config": "/nowhere/config.py"}, "give --config FILE"),
        ({"cfg_options": ["datamodule.root=/nowhere"]}, "give --cfg-options datamodule.root=DIR"),
        ({"checkpoint": None}, "of image files, not of a model"),
        ({"weights": {"sha256": "0" * 64}}, "other weights than were measured"),
    ],
)
def test_without_the_model_the_page_comes_without_its_pictures_and_says_what_to_give(
    measured_run, report, capsys, tmp_path, changes, words
):
    scores = copy_of(measured_run, tmp_path, **changes)
    if "config" in changes:
        (tmp_path / "weights").mkdir()
        shutil.copy(measured_run / "model.safetensors", tmp_path / "weights")
        changes = {"checkpoint": str(tmp_path / "weights" / "model.safetensors")}
        shutil.rmtree(scores)
        scores = copy_of(measured_run, tmp_path, config="/nowhere/config.py", **changes)
    folder, content = report(scores)
    (run,) = content["runs"]
    assert words in run["notice"] and run["pictures"] == []
    assert words in capsys.readouterr().err
    assert not (folder / "images").exists() and len(run["methods"][0]["values"]) == 3


def test_what_is_given_stands_in_for_what_is_gone(measured_run, report, tmp_path):
    scores = copy_of(measured_run, tmp_path, checkpoint="/nowhere/m.safetensors", config="/nowhere/config.py")
    given = ["--checkpoint", measured_run / "model.safetensors", "--config", measured_run / "config.py"]
    _, content = report(scores, *given, "--worst", "1")
    assert [pictures["differs"] for pictures in content["runs"][0]["pictures"]] == [None]


def test_another_model_than_was_measured_is_noticed(measured_run, report, capsys, tmp_path):
    scores = copy_of(measured_run, tmp_path, cfg_options=["model.eta=0.99"])
    _, content = report(scores, "--worst", "1")
    assert "is it the same model?" in content["runs"][0]["pictures"][0]["differs"]
    assert "is it the same model?" in capsys.readouterr().err


def test_few_steps_are_kept_of_many_and_the_first_and_last_always():
    for count in (1, 2, 7, 8, 9, 16, 17, 50, 1000):
        recorder = StepRecorder()
        for number in range(count):
            recorder({"t": torch.tensor([count - number]), "x_t": torch.full((1, 3, 2, 2), float(number))})
            assert len(recorder._steps) <= 2 * KEPT
        steps = recorder.steps()
        numbers = [number for number, _ in steps]
        assert recorder.count == count and len(steps) == min(KEPT, count) and numbers == sorted(set(numbers))
        assert (numbers[0], numbers[-1]) == (1, count)
        assert all(step["x_t"].eq(number - 1).all() for number, step in steps)
    assert StepRecorder().steps() == []


def test_a_sampler_may_go_on_in_the_same_memory():
    recorder, x_t = StepRecorder(), torch.zeros(1, 3, 2, 2)
    for _ in range(2):
        recorder({"t": torch.tensor([0]), "x_t": x_t})
        x_t += 1
    assert [float(step["x_t"].mean()) for _, step in recorder.steps()] == [0, 1]


def test_colours_are_found_by_name_else_the_first_three_are_shown():
    assert bands_to_show(("b02", "B03", "B04", "B08"), 4) == [2, 1, 0]
    assert bands_to_show(("red", "green", "blue"), 4) == [0, 1, 2]  # names of other bands
    assert bands_to_show((), 13) == [0, 1, 2]
    assert bands_to_show((), 2) == bands_to_show((), 1) == [0]


def test_eight_bit_colours_stay_and_others_are_stretched():
    values = torch.arange(256).float().view(1, 16, 16) / 127.5 - 1
    eight_bit = limits_of(values, [0], ValueRange(0, 255))
    assert (picture(values, [0], eight_bit)[0].ravel() == np.arange(256)).all()
    dark = values / 20 - 0.9  # a scene in counts uses little of the sensor's range
    drawn = picture(dark, [0], limits_of(dark, [0], ValueRange(0, 10000)))
    assert drawn.min() == 0 and drawn.max() == 255 and drawn.shape == (3, 16, 16)
    flat = torch.zeros(1, 4, 4)
    assert (picture(flat, [0], limits_of(flat, [0], ValueRange(0, 10000))) == 0).all()


def test_maps_have_a_fixed_scale_that_the_legend_tells():
    error = error_map(torch.tensor([[[0.1]], [[-0.3]]]), torch.zeros(2, 1, 1))
    assert error.item() == pytest.approx(10)  # per cent of a range of 2
    low, high = legend(ERROR)["colours"][0], legend(ERROR)["colours"][-1]
    for value, colour in ((0.0, low), (10.0, high), (50.0, high), (-1.0, low)):
        drawn = map_picture(torch.full((2, 3), value), ERROR)
        assert "#" + drawn[:, 0, 0].tobytes().hex() == colour and drawn.shape == (3, 2, 3)


def test_pictures_of_large_images_are_reduced_by_average():
    image = torch.zeros(3, 8, 2048)
    image[:, :, ::2] = 1
    drawn = picture(image, [0, 1, 2], [(-1.0, 1.0)] * 3)
    assert drawn.shape == (3, 4, 1024) and (drawn == 191).all()


def test_a_model_without_steps_is_shown_too(measured_run, tmp_path):
    from declouds.report.image_pictures import ImagePictures

    class Darkens(CloudRemover):
        def predict(self, cloudy, noise, *, name=None, variant=None, record=None):
            return cloudy[:, :4] - 0.1

    clear = torch.rand(4, 3, 2, generator=torch.Generator().manual_seed(0)) - 0.5
    sample = {"cloudy": torch.cat([clear + 0.1, clear[:1]]), "clear": clear, "name": "a"}
    scored = types.SimpleNamespace(
        model=Darkens(bands=4, in_bands=5),
        dataset=[sample],
        positions={"a": 0},
        samples=1,
        units=ValueRange(0, 10000),
        band_names=(),
        seed=0,
        tiling=None,
    )
    made = ImagePictures(scored, tmp_path, "images/1").make({"name": "a", "standard.psnr": 200.0}, "001-a", False)
    assert made["maps"] == made["steps"] == []
    assert "cloudy" not in made and "prior" not in made  # another number of bands; no prior
    assert made["size"] == [2, 3] and (tmp_path / "001-a-error_result.png").is_file()


@pytest.fixture(scope="module")
def sampled(measured_run, tmp_path_factory):
    """A report of the same model, measured with three samples of every image and a calibration."""
    from declouds import cli
    from declouds.evaluation.results import read_run
    from declouds.report.write_report import ReportOptions, write_report
    from declouds.weights.file import read_weights, save_weights

    folder = tmp_path_factory.mktemp("sampled")
    stored = read_weights(measured_run / "model.safetensors")
    spread = dict(a=[0.05, 0.06, 0.07], b=[1.0, 2.0, 0.5], samples=3, steps=3)
    record = dict(inference=dict(spread=spread))
    save_weights(folder / "model.safetensors", stored.config, stored.state_dict, record)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cli, "COMMANDS", ("test",))
        patch.setattr("declouds.evaluation.lpips_net.load_lpips", lambda path: None)
        scores = ["--out", str(folder / "scores"), "--samples", "3", "--device", "cpu"]
        cli.main(["test", str(measured_run / "config.py"), str(folder / "model.safetensors"), *scores])
    options = ReportOptions(images=("1",), worst=1, device="cpu")
    assert write_report([read_run(folder / "scores")], folder / "report", options) == []
    return folder / "report", read(folder / "report")["runs"][0]


def test_results_with_samples_have_curves_and_a_map_of_the_spread(sampled, shown):
    folder, run = sampled
    assert run["samples"]["count"] == 3 and len(run["samples"]["by_spread"]) == 10
    assert all({"spread", "calibrated", "rmse"} <= bin.keys() for bin in run["samples"]["by_thickness"])
    pictures = run["pictures"][0]
    assert pictures["spread_title"] == "calibrated deviation by 3 samples"
    spread = read_image(folder / pictures["spread"])
    assert spread.shape == (3, 24, 32)
    least = map_picture(torch.full((1, 1), 50 * 0.06), ERROR)  # the mean of `a` over the bands
    assert spread.mean() >= least.mean()
    assert shown[1]["samples"] is None and "spread" not in shown[1]["pictures"][0]
