import json

import numpy as np
import pytest
import rasterio
import torch

from declouds.cli import main
from declouds.evaluation import lpips_net
from declouds.evaluation.load_checked import differing_entries, differing_parts
from declouds.image_io import read_image, write_image
from declouds.scenes.api import remove_clouds
from declouds.weights.file import read_weights, save_weights

MODEL = dict(
    type="DiffusionEnhancement",
    denoiser=dict(
        type="ConditionalUNet", base=8, multipliers=(1, 1), blocks=1, attention_at=(), heads=1, predicts="clear"
    ),
    reference=dict(type="Identity"),
    fusion=dict(type="FixedWeight", weight=0.9),
    noise_schedule=dict(type="LinearSchedule", num_steps=1000),
    sampler=dict(type="DDIM", steps=2),
    eta=0.3,
)


@pytest.fixture(autouse=True)
def alone_and_offline(monkeypatch, tmp_path):
    monkeypatch.delenv("DECLOUDS_LPIPS_WEIGHTS", raising=False)
    monkeypatch.setenv("DECLOUDS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(lpips_net, "URL", "http://127.0.0.1:9/alexnet.pth")
    monkeypatch.setattr("declouds.cli.COMMANDS", ("test", "evaluate"))


@pytest.fixture
def setting(tmp_path):
    """Three test pairs of 8 bits, a config, and models of random weights."""
    from declouds.registry import MODELS

    random = np.random.default_rng(0)
    for name in ("cloud", "label"):
        (tmp_path / "data" / name).mkdir(parents=True)
    for index in range(5):
        clear = random.integers(20, 200, (3, 24, 32), dtype=np.uint8)
        write_image(tmp_path / "data" / "label" / f"{index}.png", clear)
        write_image(tmp_path / "data" / "cloud" / f"{index}.png", clear + 30)
    (tmp_path / "data" / "split.json").write_text('{"train": ["0", "4"], "test": ["1", "2", "3"]}')
    datamodule = dict(type="PairedFolder", root=str(tmp_path / "data"), val=None)
    (tmp_path / "config.py").write_text(f"model = {MODEL}\ndatamodule = {datamodule}\nstages = []\n")
    torch.manual_seed(0)
    for name, config in (
        ("model", MODEL),
        ("other", MODEL | {"denoiser": MODEL["denoiser"] | {"base": 16}}),
        ("alone", MODEL | {"fusion": None, "reference": None}),
    ):
        state = {
            key: value + 0.05 * torch.randn_like(value) for key, value in MODELS.build(config).state_dict().items()
        }
        save_weights(tmp_path / f"{name}.safetensors", config, state, dict(splits={"train": {"count": 2}}))
    return tmp_path


def run(folder, *more, model="model"):
    main(["test", str(folder / "config.py"), str(folder / f"{model}.safetensors"), *map(str, more)])


def results(folder):
    return json.loads((folder / "out" / "results.json").read_text())


def refused(capsys, folder, *more, model="model"):
    with pytest.raises(SystemExit) as stop:
        run(folder, *more, model=model)
    assert stop.value.code == 2
    assert not (folder / "out").exists()
    return capsys.readouterr().err.strip()


def test_the_four_numbers_and_the_paired_difference(setting, capsys):
    run(setting, "--variants", "--out", setting / "out", "--protocol", "official")
    content = results(setting)
    assert list(content["methods"]) == ["cloudy", "prior", "diffusion", "DE"]
    mean = {method: found["summary"]["official.psnr"]["mean"] for method, found in content["methods"].items()}
    assert mean["cloudy"] == mean["prior"] == pytest.approx(20 * np.log10(255 / 30))
    assert mean["diffusion"] < mean["DE"]
    difference = content["differences"]["DE - prior"]["official.psnr"]
    assert difference["mean"] == pytest.approx(mean["DE"] - mean["prior"])
    assert difference["low"] <= difference["mean"] <= difference["high"]
    assert (content["split"]["part"], content["split"]["count"]) == ("test", 3)
    assert content["about"]["trained_on"] == {"train": {"count": 2}}
    printed = capsys.readouterr().out
    assert "protocol: official, 3 images" in printed and "DE - prior" in printed


def test_the_figures_depend_on_the_seed_but_not_on_the_batch(setting):
    found = []
    for options in (["--batch-size", 1], ["--batch-size", 3], ["--seed", 1]):
        run(setting, *options, "--out", setting / "out", "--overwrite")
        found.append(results(setting)["methods"]["DE"]["summary"]["standard.psnr"]["mean"])
    assert found[0] == pytest.approx(found[1], abs=1e-5)
    assert abs(found[0] - found[2]) > 1e-4


def test_pictures_are_what_was_measured(setting):
    run(setting, "--save-images", "--out", setting / "out", "--cfg-options", "model.sampler.steps=3")
    assert sorted(path.name for path in (setting / "out" / "results").iterdir()) == ["1.png", "2.png", "3.png"]
    panel = read_image(setting / "out" / "comparisons" / "2.png")
    assert panel.shape == (3, 24, 4 * 32)  # cloudy, prior, result, clear
    cloudy, clear = (read_image(setting / "data" / name / "2.png") for name in ("cloud", "label"))
    assert np.array_equal(panel[..., :32], cloudy) and np.array_equal(panel[..., 32:64], cloudy)
    assert np.array_equal(panel[..., 64:96], read_image(setting / "out" / "results" / "2.png"))
    assert np.array_equal(panel[..., 96:], clear)
    figure = results(setting)["methods"]["DE"]["summary"]["standard.psnr"]["mean"]
    split = f"{setting / 'data' / 'split.json'}:test"
    folders = [str(setting / "out" / "results"), str(setting / "data" / "label")]
    main(["evaluate", *folders, "--split", split, "--out", str(setting / "again")])
    again = json.loads((setting / "again" / "results.json").read_text())["methods"]["result"]["summary"]
    assert again["standard.psnr"]["mean"] == pytest.approx(figure, abs=0.01)  # the pictures are rounded to 8 bits


def test_the_sampler_is_the_configs(setting):
    found = []
    for steps in (1, 4):
        run(setting, "--out", setting / "out", "--overwrite", "--cfg-options", f"model.sampler.steps={steps}")
        found.append(results(setting)["methods"]["DE"]["per_image"])
    assert found[0] != found[1]


def test_the_least_weight_is_the_configs(setting):
    run(setting, "--variants", "--out", setting / "out", "--cfg-options", "model.eta=1.0")
    found = {method: content["per_image"] for method, content in results(setting)["methods"].items()}
    figures = ("name", "standard.psnr", "standard.mae", "official.psnr")
    prior, fused = ([{key: row[key] for key in figures} for row in found[method]] for method in ("prior", "DE"))
    assert prior == fused  # where the checkpoint's own eta would leave a tenth of the diffusion in


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("model.degrade_prior={'blur':1.0}", "model.degrade_prior: None, not {'blur': 1.0}"),
        ("model.value_range=[0,100]", "model.value_range: [0.0, 255.0], not [0, 100]"),
        ("model.in_bands=5", "model.in_bands: None, not 5"),
        ("model.band_names=['red']", "model.band_names: [], not ['red']"),
        ("model.etta=0.5", "model.etta: None, not 0.5"),
    ],
)
def test_another_entry_of_the_model_than_the_checkpoint_has_is_named(setting, capsys, option, message):
    error = refused(capsys, setting, "--out", setting / "out", "--cfg-options", option)
    assert "model.safetensors: its model differs from" in error and message in error


def test_entries_that_say_the_default_agree():
    spelled = dict(bands=3, value_range=[0, 255], band_names=[], inputs=None, degrade_prior=None)
    assert differing_entries(MODEL, MODEL | spelled) == differing_entries(MODEL | spelled, MODEL | spelled) == []
    assert differing_entries(MODEL | dict(bands=3, value_range=(0.0, 255.0)), MODEL) == []
    assert differing_entries(MODEL | dict(band_names=[]), MODEL | dict(band_names=None)) == []
    assert differing_entries(MODEL | dict(degrade_prior=dict(blur=1.0)), MODEL | dict(degrade_prior=None)) == [
        "model.degrade_prior: {'blur': 1.0}, not None"
    ]
    assert differing_entries(MODEL | dict(value_range=[0, 1]), MODEL | dict(value_range=[0, 255])) == [
        "model.value_range: [0, 1], not [0, 255]"
    ]


def test_windows(setting):
    run(setting, "--tile", 16, "--out", setting / "out")
    assert results(setting)["about"]["tile"] == 16


def test_another_part_of_the_data(setting, capsys):
    run(setting, "--split", "train", "--out", setting / "out")
    assert [row["name"] for row in results(setting)["methods"]["DE"]["per_image"]] == ["0", "4"]
    with pytest.raises(SystemExit):
        run(setting, "--split", "val")
    assert "no val images" in capsys.readouterr().err


def test_a_checkpoint_of_another_config(setting, capsys):
    error = refused(capsys, setting, "--out", setting / "out", model="other")
    assert "denoiser: base=16, not 8" in error and "other.safetensors" in error
    error = refused(capsys, setting, "--out", setting / "out", model="alone")
    assert "reference: None, not Identity" in error and "fusion: None, not FixedWeight" in error
    assert "does not exist" in refused(capsys, setting, model="absent")


def test_data_of_other_bands(setting, capsys):
    error = refused(capsys, setting, "--cfg-options", "datamodule.bands=[1,2]")
    assert "the model makes 3 bands from 3, but the data have 2 and 2" in error


def test_data_of_bands_in_another_order(setting, capsys):
    stored = read_weights(setting / "model.safetensors")
    named = stored.config | {"band_names": ["red", "green", "blue"]}
    save_weights(setting / "named.safetensors", named, stored.state_dict, stored.record)
    names = "datamodule.band_names={}".format
    error = refused(capsys, setting, "--cfg-options", names("['Blue','green','red']"), model="named")
    assert "the model takes the bands red, green, blue, and the data have Blue, green, red: order" in error
    for same in ("['RED','green','blue']", "['B4','B3','B2']", "[]"):
        run(setting, "--cfg-options", names(same), model="named")


def test_bad_arguments_are_told_before_anything_is_built(setting, capsys):
    assert "needs a folder" in refused(capsys, setting, "--save-images")
    assert "--batch-size must be at least 1" in refused(capsys, setting, "--batch-size", 0)
    assert "--seed must be at least 0" in refused(capsys, setting, "--seed", -1)
    assert "tile = 0" in refused(capsys, setting, "--tile", 0)
    assert "device 'nowhere' is not available here" in refused(capsys, setting, "--device", "nowhere")
    assert "does not exist" in refused(capsys, setting / "absent")
    (setting / "out" / "results").mkdir(parents=True)
    with pytest.raises(SystemExit):
        run(setting, "--save-images", "--out", setting / "out")
    assert "already exists" in capsys.readouterr().err


def test_a_model_without_fusion_has_no_variants(setting, capsys):
    options = ["--cfg-options", "model.fusion=None", "model.reference=None"]
    assert "remove --variants" in refused(capsys, setting, "--variants", *options, model="alone")
    run(setting, "--out", setting / "out", *options, model="alone")
    assert list(results(setting)["methods"]) == ["result"]


def test_an_argument_left_out_counts_as_its_default():
    spelled = MODEL | {"denoiser": MODEL["denoiser"] | {"in_bands": 3, "dropout": 0.0, "multipliers": [1, 1]}}
    assert differing_parts(spelled, MODEL) == []
    assert differing_parts(MODEL | {"sampler": dict(type="DDPM")}, MODEL) == []
    four = dict(MODEL, bands=4, denoiser=dict(MODEL["denoiser"], bands=4, in_bands=4))  # as an imported file says it
    assert differing_parts(four, dict(MODEL, bands=4)) == []
    assert differing_parts(four, dict(MODEL, bands=3)) == [
        "denoiser: bands=4, not 3",
        "reference: bands=4, not 3",
    ]
    assert differing_parts(MODEL | {"type": "OnePass"}, MODEL) == ["model: OnePass, not DiffusionEnhancement"]
    other = MODEL | {"noise_schedule": dict(type="CosineSchedule")}
    assert differing_parts(other, MODEL) == ["noise_schedule: CosineSchedule, not LinearSchedule"]


@pytest.fixture
def with_val(setting, monkeypatch):
    """The setting with the test images for validation too, on a device with bfloat16."""
    monkeypatch.setattr("declouds.inference.has_bf16", lambda device: True)
    monkeypatch.setattr("declouds.evaluation.inference_search.has_bf16", lambda device: True)
    (setting / "data" / "split.json").write_text('{"train": ["0", "4"], "val": ["1", "2", "3"], "test": []}')
    config = setting / "config.py"
    config.write_text(config.read_text().replace("'val': None", "'split': 'split.json'"))
    return setting


def test_numbers_of_steps_are_compared(setting, capsys):
    run(setting, "--steps", "1", "4", "2", "--out", setting / "out", "--protocol", "official", "--precision", "fp32")
    content = results(setting)
    assert set(content["methods"]) == {"4 steps", "2 steps", "1 step"}
    assert list(content["methods"])[-1].split()[0] == str(content["about"]["steps"])
    assert list(content["differences"]) == ["2 steps - 4 steps", "1 step - 4 steps"]
    assert set(content["about"]["seconds_an_image"]) == set(content["methods"])
    mean = {method: found["summary"]["official.psnr"]["mean"] for method, found in content["methods"].items()}
    names = {2: "2 steps", 1: "1 step"}
    lost = {number: content["differences"][f"{name} - 4 steps"]["official.psnr"] for number, name in names.items()}
    good = [n for n, found in lost.items() if found["mean"] >= -0.02 and found["low"] >= -0.1]
    enough = min([4, *good])
    assert f"enough steps: {enough}\n" in capsys.readouterr().out
    # A single number is measured as the model.
    run(setting, "--steps", "1", "--out", setting / "out", "--overwrite", "--precision", "fp32")
    single = results(setting)
    assert single["methods"]["DE"]["summary"]["official.psnr"]["mean"] == mean["1 step"]
    assert (single["about"]["steps"], single["about"]["precision"]) == (1, "fp32")


def test_what_is_enough_is_recorded_and_used(with_val, capsys):
    made = with_val / "recorded.safetensors"
    run(with_val, "--split", "val", "--steps", "1", "2", "--record", made, "--out", with_val / "out")
    record = read_weights(made).record
    found = results(with_val)["methods"]
    assert record["splits"] == {"train": {"count": 2}} and record["inference"]["split"]["part"] == "val"
    steps, bf16 = record["inference"]["steps"], record["inference"]["bf16"]
    assert steps in (1, 2) and any(name.endswith(", bf16") for name in found)
    capsys.readouterr()
    main(["test", str(with_val / "config.py"), str(made), "--split", "val", "--out", str(with_val / "again")])
    about = json.loads((with_val / "again" / "results.json").read_text())["about"]
    assert (about["steps"], about["precision"]) == (steps, "bf16" if bf16 else "fp32")
    # A config that changes the sampler counts more than the record.
    changed = ["--cfg-options", "model.sampler.steps=5"]
    main(["test", str(with_val / "config.py"), str(made), "--split", "val", "--out", str(with_val / "five"), *changed])
    assert json.loads((with_val / "five" / "results.json").read_text())["about"]["steps"] == 5
    again = with_val / "changed.safetensors"
    with pytest.raises(SystemExit):
        run(with_val, "--split", "val", "--steps", "1", "2", "--record", again, *changed)
    assert "--record: the config changes sampler: use that of the weights" in capsys.readouterr().err
    assert not again.exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--record", "r.safetensors"], "--record chooses by validation images: give --split val"),
        (["--split", "val", "--record", "r.pth"], "r.pth: give a name that ends in .safetensors"),
        (["--steps", "1", "2", "--variants"], "only with a single number of --steps"),
        (["--steps", "2", "2"], "--steps 2 2: give each number once"),
        (["--steps", "1", "2000"], "between 1 and 1000, got 2000"),
        (["--precision", "half"], "unknown precision 'half': use auto, fp32, bf16"),
    ],
)
def test_impossible_searches_are_refused_before_any_work(setting, capsys, more, message):
    assert message in refused(capsys, setting, "--out", setting / "out", *more)


def test_samples_are_scored_printed_and_written(setting, capsys):
    run(setting, "--samples", "3", "--variants", "--out", setting / "out", "--protocol", "standard")
    content = results(setting)
    found = content["methods"]["DE"]
    mean = {key: found["summary"][f"samples.{key}"]["mean"] for key in ("crps", "coverage50", "spread", "rmse")}
    assert 0 < mean["crps"] and 0 <= mean["coverage50"] <= 1 and mean["rmse"] > 0
    assert found["summary"]["samples.crps"]["low"] <= mean["crps"] <= found["summary"]["samples.crps"]["high"]
    assert len([row["samples.crps"] for row in found["per_image"]]) == 3
    assert "samples.crps" not in content["methods"]["diffusion"]["summary"]
    assert content["samples"]["count"] == 3 and content["samples"]["calibration"] is None
    for curve in ("by_spread", "by_thickness"):
        assert sum(entry["pixels"] for entry in content["samples"][curve]) == 3 * 3 * 24 * 32
    printed = capsys.readouterr().out
    assert "protocol: samples, 3 images" in printed and "reliability by predicted spread, on [-1, 1]" in printed
    assert "reliability by cloud thickness" in (setting / "out" / "table.txt").read_text()
    lines = (setting / "out" / "reliability.csv").read_text().splitlines()
    assert lines[0] == "curve,from,to,pixels,spread,calibrated,rmse" and lines[-1].startswith("by_thickness,")
    assert "samples.crps" in (setting / "out" / "per_image.csv").read_text().splitlines()[0]
    run(setting, "--variants", "--out", setting / "out", "--protocol", "standard", "--overwrite")
    plain = results(setting)  # the first sample is the usual result
    key = "standard.psnr"
    assert plain["methods"]["DE"]["summary"][key] == found["summary"][key] and "samples" not in plain
    assert not (setting / "out" / "reliability.csv").exists()


def test_a_calibration_is_recorded_and_used(with_val, capsys):
    made = with_val / "calibrated.safetensors"
    stored = read_weights(with_val / "model.safetensors")
    inference = dict(steps=1, bf16=False, tolerance=0.02)
    save_weights(with_val / "fast.safetensors", stored.config, stored.state_dict, dict(inference=inference))
    run(with_val, "--split", "val", "--samples", "4", "--record", made, model="fast")
    assert f"recorded in {made}: error of the mean = sqrt(a^2 + (b * spread)^2) with a = " in capsys.readouterr().out
    recorded = read_weights(made).record["inference"]
    spread = recorded.pop("spread")
    assert recorded == inference
    assert len(spread["a"]) == len(spread["b"]) == 3 and (spread["samples"], spread["steps"]) == (4, 1)
    assert spread["split"]["part"] == "val" and spread["tile"] is None
    for more, known in (([], True), (["--steps", "2"], False), (["--cfg-options", "model.eta=0.5"], False)):
        common = ["--split", "val", "--samples", "4", "--out", with_val / "out", "--overwrite"]
        run(with_val, *common, *more, model=made.stem)
        content = results(with_val)
        summary = content["methods"]["DE"]["summary"]
        assert ("samples.coverage90.calibrated" in summary) == known
        assert (content["samples"]["calibration"] is not None) == known
        if known:  # on the images of the fit
            calibrated, rmse = (summary[f"samples.{key}"]["mean"] for key in ("spread.calibrated", "rmse"))
            assert calibrated == pytest.approx(rmse, rel=0.05)
    found = {}
    for name in ("fast", "calibrated"):
        scene, output = with_val / "data" / "cloud" / "1.png", with_val / f"{name}.tif"
        remove_clouds(scene, with_val / f"{name}.safetensors", output=output, quality=True, samples=4, device="cpu")
        with rasterio.open(with_val / f"{name}_quality.tif") as file:
            found[name] = file.read([2, 3, 4])
            assert file.descriptions[1] == f"{'calibrated ' * (name != 'fast')}standard deviation of band 1"
    a, b = (np.reshape(spread[name], (3, 1, 1)) for name in "ab")
    expected = np.sqrt((127.5 * a) ** 2 + (b**2 + 3 / 4) * found["fast"] ** 2)  # in 8-bit units
    np.testing.assert_allclose(found["calibrated"], expected, rtol=1e-4)


def test_samples_that_make_no_sense_are_refused(setting, capsys):
    assert "--samples 1: a spread needs at least 2" in refused(capsys, setting, "--samples", 1)
    error = refused(capsys, setting, "--samples", 2, "--steps", 1, 2)
    assert "--samples measures a single number of --steps" in error
    options = ["--samples", 2, "--split", "val", "--record", "r.safetensors", "--steps", 2]
    assert "calibrates the recorded number of steps" in refused(capsys, setting, *options)
    without = dict(type="OnePass", reference=dict(type="Identity"), bands=3)
    save_weights(setting / "one.safetensors", without, {}, {})
    config = setting / "config.py"
    config.write_text(config.read_text().replace(f"model = {MODEL}", f"model = {without}"))
    assert "one.safetensors: draws no noise" in refused(capsys, setting, "--samples", 2, model="one")
