"""`declouds adapt` from images to weights: tiny models, and stages so slow by the plan that iterations are few."""

import json

import numpy as np
import pytest
import torch

from declouds import remove_clouds
from declouds.adaptation import adapt as adapting
from declouds.adaptation import plan as planning
from declouds.adaptation.plan import check_model
from declouds.adaptation.scores import HeldOutWindows, as_lines, gain
from declouds.cli import main
from declouds.errors import UserError
from declouds.evaluation.statistics import Estimate
from declouds.image_io import write_image
from declouds.models import build_model
from declouds.simulation.scene import clear_scene
from declouds.weights.file import load_model, read_weights, save_weights

TINY = dict(width=4, encoder_blocks=(1, 1), middle_blocks=1, decoder_blocks=(1, 1))
DE = dict(
    type="DiffusionEnhancement",
    reference=dict(type="NAFNet", **TINY),
    denoiser=dict(type="NAFDenoiser", predicts="edm", takes_prior=True, **TINY),
    noise_schedule=dict(type="StraightPath", endpoint="prior", noise=0.1, data_std=0.15),
    sampler=dict(type="DDIM", steps=2),
    fusion=dict(type="WeightAllocation", base=8, multipliers=(1, 2), blocks=1, attention_at=()),
    bands=3,
    value_range=(0.0, 255.0),
    band_names=["red", "green", "blue"],
)
MINUTES = 600  # of which seconds of a test are nothing, on any machine


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Six clear images of four bands, and weights for three."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # the command sets it: here it is put back
    (tmp_path / "clear").mkdir()
    for number in range(6):
        image = clear_scene(np.random.default_rng(number), 40, 40, 4) * 3000
        write_image(tmp_path / "clear" / f"{number}.tif", image.astype("uint16"))
    torch.manual_seed(0)
    losses = [dict(type="L1"), dict(type="MSE")]
    stages = [dict(name="reference", train=["reference"], losses=losses)]
    save_weights(tmp_path / "general.safetensors", DE, build_model(DE).state_dict(), dict(stages=stages))
    return tmp_path


def command(files, *more, minutes=MINUTES, bands="blue,green,red,nir"):
    start = ["--checkpoint", str(files / "general.safetensors"), "--bands", bands, "--minutes", str(minutes)]
    main(["adapt", str(files / "clear"), "-o", str(files / "own.safetensors"), "--device", "cpu", *start, *more])


@pytest.fixture
def few_iterations(monkeypatch):
    """An hour for each iteration, by the clock of the plan."""
    monkeypatch.setattr(planning, "_timed", lambda config, folder: [3000.0 for _ in config["stages"]])


def test_a_model_of_other_bands_is_trained_and_scored(files, few_iterations, capsys):
    command(files)
    printed = capsys.readouterr().out
    weights = read_weights(files / "own.safetensors")
    assert weights.config["bands"] == 4 and weights.config["band_names"] == ["blue", "green", "red", "nir"]
    assert weights.record["wavelengths"] == [0.49, 0.56, 0.665, 0.842]
    adapted = weights.record["adapted"]
    assert adapted["minutes"] == MINUTES and set(adapted["after"]) == {"thin", "thick"}
    assert adapted["kept"] in ("trained", "start")
    for said in ("6 images, bands blue, green, red, nir", "1 of 6 images", "reference: 6 iterations", "change: "):
        assert said in printed
    plan = json.loads((files / "own.work/plan.json").read_text())
    assert [stage["iterations"] for stage in plan["config"]["stages"]] == [6, 3, 1]
    assert [loss["type"] for loss in plan["config"]["stages"][0]["losses"]] == ["L1", "MSE"]
    cloudy = np.full((4, 50, 60), 2000, "uint16")
    assert remove_clouds(cloudy, load_model(files / "own.safetensors")).shape == cloudy.shape


def test_the_weights_of_the_package_are_trained_for_other_bands(files, few_iterations, capsys):
    command(files, "--checkpoint", "general")
    assert "change: " in capsys.readouterr().out
    config = read_weights(files / "own.safetensors").config
    assert config["type"] == "OnePass" and config["band_names"] == ["blue", "green", "red", "nir"]


def test_killed_it_goes_on_by_the_same_plan(files, few_iterations, monkeypatch, capsys):
    def killed(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(adapting, "score", killed)
        with pytest.raises(SystemExit):
            command(files)
    assert not (files / "own.safetensors").exists()
    plan, trained = files / "own.work/plan.json", files / "own.work/run/model.safetensors"
    before = plan.read_bytes(), read_weights(trained).state_dict
    with pytest.raises(SystemExit):
        command(files, "--seed", "1")
    assert "other arguments (seed)" in capsys.readouterr().err
    command(files)
    assert "going on with the run" in capsys.readouterr().out
    after = read_weights(trained).state_dict
    assert plan.read_bytes() == before[0] and all(torch.equal(after[key], value) for key, value in before[1].items())
    assert (files / "own.safetensors").exists()


@pytest.mark.parametrize(("change", "kept"), [(-1.0, "start"), (1.0, "run/model")])
def test_the_better_one_is_kept(files, few_iterations, monkeypatch, capsys, change, kept):
    monkeypatch.setattr(adapting, "gain", lambda after, before: Estimate(change, change - 2, change + 2, 6, 0, 0))
    command(files)
    expected, own = (read_weights(path) for path in (files / f"own.work/{kept}.safetensors", files / "own.safetensors"))
    assert all(torch.equal(own.state_dict[key], value) for key, value in expected.state_dict.items())
    printed = capsys.readouterr().out
    assert ("training has not made the model better" in printed) == (change < 0)
    assert ("it may be chance" in printed) == (change > 0)


def test_too_few_minutes_leave_nothing_behind(files, monkeypatch, capsys):
    monkeypatch.setattr(planning, "_timed", lambda config, folder: [3600.0 * 24 for _ in config["stages"]])
    existing = set(files.iterdir())
    with pytest.raises(SystemExit):
        command(files)
    error = capsys.readouterr().err
    assert "give at least --minutes" in error and error.count("\n") == 1
    assert set(files.iterdir()) == existing


def test_what_cannot_work_is_refused_before_anything_is_written(files, capsys):
    (files / "busy").mkdir()
    (files / "busy/notes.txt").touch()
    existing = set(files.iterdir())
    for more, message in (
        (["--work-dir", str(files / "busy")], "holds no adaptation"),
        (["--work-dir", str(files / "no/where")], "is no folder that can be written to"),
        (["--minutes", "0"], "above 0"),
        (["--value-range", "3000,0"], "takes LOW,HIGH"),
        (["--bands", "red=1,blue"], "NAME=NUMBER"),
        (["--bands", "1,2"], "--wavelengths too"),
        (["--checkpoint", str(files / "none.safetensors")], "none.safetensors"),
        (["-o", str(files / "own.pth")], "ends in .safetensors"),
        (["-o", str(files / "general.safetensors")], "exists"),
    ):
        with pytest.raises(SystemExit) as stopped:
            command(files, *more)
        error = capsys.readouterr().err
        assert stopped.value.code == 2 and message in error and error.count("\n") == 1
    assert set(files.iterdir()) == existing


def test_time_is_shared_between_the_stages():
    config = dict(model=DE, stages=[dict(name="reference"), dict(name="denoiser"), dict(name="fusion")])
    planning._set_iterations(config, [2.0, 1.0, 0.5], left=1000.0, minutes=20, spent=200.0)
    assert [stage["iterations"] for stage in config["stages"]] == [270, 270, 180]
    one_pass = dict(model=dict(type="OnePass"), stages=[dict(name="reference")])
    planning._set_iterations(one_pass, [2.0], left=1000.0, minutes=20, spent=200.0)
    assert one_pass["stages"][0]["iterations"] == 450
    with pytest.raises(UserError, match=r"give at least --minutes 22\.0"):
        planning._set_iterations(config, [2.0, 1.0, 100.0], left=1000.0, minutes=20, spent=200.0)


def test_held_out_windows_are_the_same_each_time_and_of_one_kind(files):
    datamodule = dict(
        type="CloudedImages", root=str(files / "clear"), bands=["blue", "green", "red", "nir"], size=32, val=None,
        test=0.5, other_sensors=0.2, coarser=0.0, value_range=[0, 6000],
    )  # fmt: skip
    windows = HeldOutWindows(datamodule, "thick", 5)
    assert len({windows[index]["name"] for index in range(5)}) == 5
    assert torch.equal(windows[4]["cloudy"], windows[4]["cloudy"])
    assert all(windows[index]["mask"].any() for index in range(5))
    thin = HeldOutWindows(datamodule, "thin", 5)
    assert torch.equal(thin[0]["clear"], windows[0]["clear"]) and not torch.equal(
        thin[0]["cloudy"], windows[0]["cloudy"]
    )


def test_gain_and_table():
    def scores(psnr):
        rows = [{"name": str(n), "standard.psnr": psnr + n} for n in range(4)]
        return {kind: dict(cloudy=rows, result=rows) for kind in ("thin", "thick")}

    change = gain(scores(31.0), scores(30.5))
    assert change.mean == pytest.approx(0.5) and change.images == 8
    table = as_lines({"before": scores(30.0), "after": scores(31.0)})
    assert table[0].split() == ["clouds", "cloudy", "image", "before", "after"]
    assert table[1].startswith("thin") and "32.50 dB [" in table[1]


def test_a_method_that_is_not_trained_part_by_part_is_refused(tmp_path):
    config = dict(type="Adversarial", bands=3)
    save_weights(tmp_path / "gan.safetensors", config, {}, {})
    with pytest.raises(UserError, match="cannot be adapted"):
        check_model(str(tmp_path / "gan.safetensors"))
