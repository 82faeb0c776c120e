"""The weights that come with the package: used where no others are given."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from safetensors import safe_open

import declouds
from declouds.cli import main
from declouds.cloud_detectors.own_change import OwnChange
from declouds.errors import UserError
from declouds.scenes.api import for_any_units
from declouds.weights import zoo
from declouds.weights.file import read_weights, save_weights

ROOT = Path(__file__).resolve().parents[2]

CONFIG = dict(
    type="OnePass",
    reference=dict(type="NAFNet", width=4, encoder_blocks=(1,), decoder_blocks=(1,)),
    bands=3,
    band_names=["red", "green", "blue"],
)


@pytest.fixture
def general(tmp_path, monkeypatch):
    """Put a tiny model of any units in the place of the weights that come with the package."""
    path = tmp_path / "package" / "general-7.safetensors"
    path.parent.mkdir()
    save_any(path)
    monkeypatch.setattr(zoo, "PACKAGED", path)
    return path


def save_any(path, **entries):
    from declouds.models import build_model

    config = CONFIG | dict(any_units=True) | entries
    torch.manual_seed(0)
    save_weights(path, config, build_model(config).state_dict(), dict(data="clouds over 9 images"))


@pytest.fixture
def picture(tmp_path):
    """A picture with a white cloud in its left half."""
    pixels = np.random.default_rng(0).integers(10, 60, (3, 40, 50)).astype(np.uint8)
    pixels[:, :, :25] = 220
    path = tmp_path / "scene.tif"
    with rasterio.open(path, "w", driver="GTiff", count=3, height=40, width=50, dtype="uint8") as file:
        file.write(pixels)
    return path


def read(path):
    with rasterio.open(path) as file:
        return file.read()


def fails(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in arguments])
    message = capsys.readouterr().err
    assert ended.value.code == 2 and message.startswith("declouds: ") and message.count("\n") == 1
    return message


def test_the_file_in_the_package_is_a_colour_model_of_any_units():
    """It is there and small, leaves a clear picture alone, and thins a dense veil."""
    path = zoo.general_weights()
    assert path.stat().st_size <= 12e6
    with safe_open(path, framework="pt") as file:
        kinds = {file.get_tensor(key).dtype for key in file.keys()}
    assert torch.float16 in kinds and torch.float32 not in kinds
    model = declouds.load_model("general")
    assert model.any_units and model.bands == model.in_bands == 3 and model.band_names == ("red", "green", "blue")
    assert next(model.parameters()).dtype == torch.float32
    assert "stages" in model.record
    pixels = read(ROOT / "tools" / "demo_images" / "aerial.jpg")[:, :200, :220]
    assert (declouds.remove_clouds(pixels) == pixels).all(0).mean() > 0.9  # clear ground stays as it is
    veiled = np.round(0.2 * pixels + 0.8 * 230).astype(np.uint8)
    before, after = (np.mean((image.astype(float) - pixels) ** 2) for image in (veiled, declouds.remove_clouds(veiled)))
    assert after < before / 2


def test_predict_without_a_checkpoint_uses_them_and_says_so(general, picture, tmp_path, capsys):
    main(["predict", str(picture), "-o", str(tmp_path / "o.tif")])
    printed = capsys.readouterr().out
    assert "weights: general-7, which comes with declouds (docs/general_model.md)" in printed
    assert "cloud: the detector OwnChange" in printed and "value range: 0 to 255, found in the scene" in printed
    summary = json.loads((tmp_path / "o.json").read_text())
    assert summary["model"]["name"] == "general-7" and summary["mask"] == dict(detector="OwnChange")
    before, after = read(picture), read(tmp_path / "o.tif")
    found = OwnChange(declouds.load_model("general"))((before / 127.5 - 1).astype(np.float32))
    assert summary["pixels"]["cleared"] == found.sum() > 0
    main(["predict", str(picture), "-o", str(tmp_path / "bright.tif"), "--detector", "BrightWhite"])
    assert json.loads((tmp_path / "bright.json").read_text())["pixels"]["cleared"] == 40 * 25
    np.testing.assert_array_equal(read(tmp_path / "bright.tif")[:, :, 25:], before[:, :, 25:])
    capsys.readouterr()
    main(["predict", str(picture), "-o", str(tmp_path / "named.tif"), "--checkpoint", "general"])
    assert "weights: general-7" in capsys.readouterr().out
    np.testing.assert_array_equal(read(tmp_path / "named.tif"), after)
    main(["predict", str(picture), "-o", str(tmp_path / "all.tif"), "--mask", "none"])
    assert json.loads((tmp_path / "all.json").read_text())["pixels"]["cleared"] == 40 * 50


def test_python_without_a_model_uses_them_too(general, picture, tmp_path, caplog):
    with caplog.at_level("INFO", logger="declouds"):
        clear = declouds.remove_clouds(read(picture))
    assert "no weights were given: clearing by general-7, which comes with declouds" in caplog.text
    np.testing.assert_array_equal(clear, declouds.remove_clouds(read(picture), declouds.load_model("general")))
    declouds.remove_clouds(picture, output=tmp_path / "o.tif")
    np.testing.assert_array_equal(read(tmp_path / "o.tif"), clear)


def test_many_scenes_each_in_a_process_of_its_own(picture, tmp_path, monkeypatch):
    """The flags of the processes say what was chosen, and not that nothing was."""
    from declouds.experiments import many_scenes

    seen = []
    monkeypatch.setattr(zoo, "general_weights", lambda: None)
    monkeypatch.setattr(many_scenes, "clear_scenes", lambda engine, scenes, flags, *rest: seen.extend(flags) or {})
    folder = tmp_path / "in"
    folder.mkdir()
    picture.rename(folder / "a.tif")
    common = ["predict", str(folder), "-o", str(tmp_path / "out"), "--engine", "local"]
    main([*common, "--value-range=5,90"])
    assert "--value-range=5.0,90.0" in seen and not any(flag.startswith("--checkpoint") for flag in seen)


def test_a_damaged_or_missing_file_says_to_install_again(general, picture, tmp_path, capsys):
    call = ["predict", picture, "-o", tmp_path / "o.tif"]
    general.write_bytes(general.read_bytes()[:200])
    assert "general-7.safetensors is truncated" in (message := fails(call, capsys))
    assert "comes with declouds, so install that again" in message
    general.unlink()
    assert "general-7.safetensors is missing: install declouds again, or give a weights file" in fails(call, capsys)
    assert not list(tmp_path.glob("*o.tif*"))
    with pytest.raises(UserError, match="is missing: install declouds again"):
        declouds.load_model("general")


def test_a_file_of_that_name_comes_first_where_it_is_named_and_not_by_default(general, picture, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_any("general", any_units=False)
    assert not declouds.load_model("general").any_units and not for_any_units("general")
    with declouds_remover() as remover:
        assert remover.name == "general-7" and remover.value_range is None


def declouds_remover():
    from declouds.scenes.api import remover_of
    from declouds.scenes.options import SceneOptions

    return remover_of(None, SceneOptions())


def test_any_weights_file_can_be_for_any_units(general, tmp_path):
    save_any(tmp_path / "mine.safetensors")
    save_any(tmp_path / "bytes.safetensors", any_units=False)
    assert for_any_units(None) and for_any_units("general") and for_any_units(tmp_path / "mine.safetensors")
    assert not for_any_units(tmp_path / "bytes.safetensors") and not for_any_units(tmp_path / "none.safetensors")
    assert for_any_units(declouds.load_model("general"))


def test_names_of_weights(general, capsys):
    main(["weights", "list"])
    assert "general (comes with declouds)" in capsys.readouterr().out
    main(["weights", "fetch", "general", "--offline"])
    assert capsys.readouterr().out.strip() == str(general)
    assert "did you mean general" in fails(["weights", "info", "generel"], capsys)
    assert "comes with declouds" in fails(["weights", "verify", "general", "."], capsys)


def test_half_precision_halves_the_file_and_keeps_its_record(general, tmp_path, capsys):
    half = tmp_path / "half.safetensors"
    main(["weights", "export", str(general), "--half", "-o", str(half)])
    one, other = read_weights(general), read_weights(half)
    assert (one.config, one.record) == (other.config, other.record) and one.record
    for key, value in one.state_dict.items():
        assert other.state_dict[key].dtype == torch.float16
        torch.testing.assert_close(other.state_dict[key].float(), value, rtol=1e-3, atol=1e-7)
    model = declouds.load_model(half)
    assert {value.dtype for value in model.state_dict().values()} == {torch.float32}
    assert "exists" in fails(["weights", "export", general, "--half", "-o", half], capsys)
    assert "ends in .safetensors" in fails(["weights", "export", general, "-o", tmp_path / "half.pth"], capsys)
    main(["weights", "export", str(half), "--part", "reference", "--half", "-o", str(tmp_path / "part.pth")])
    assert {value.dtype for value in torch.load(tmp_path / "part.pth").values()} == {torch.float16}


def test_weights_that_half_precision_cannot_hold(general, tmp_path, capsys):
    own = read_weights(general)
    key = next(iter(own.state_dict))
    own.state_dict[key].view(-1)[0] = 1e6
    save_weights(tmp_path / "large.safetensors", *own)
    call = ["weights", "export", tmp_path / "large.safetensors", "--half", "-o", tmp_path / "half.safetensors"]
    assert f"{key} holds values above 65504" in fails(call, capsys)
    assert not (tmp_path / "half.safetensors").exists()
