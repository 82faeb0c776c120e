import argparse
import subprocess
import sys

import numpy as np
import pytest
import rasterio
from affine import Affine

from declouds.cli import main
from declouds.commands import predict
from declouds.image_io import read_image, write_image


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A model that returns its input: bands red, green, blue, 0 to 255."""
    from declouds.registry import MODELS
    from declouds.weights.file import save_weights

    config = dict(type="OnePass", reference=dict(type="Identity"), bands=3, band_names=("red", "green", "blue"))
    path = tmp_path_factory.mktemp("weights") / "identity.safetensors"
    save_weights(path, config, MODELS.build(config).state_dict(), {})
    return path


@pytest.fixture
def scene(tmp_path):
    pixels = np.random.default_rng(0).integers(1, 255, (3, 150, 200)).astype(np.uint8)
    pixels[:, :, :100] = 0
    path = tmp_path / "scene.tif"
    grid = dict(crs="EPSG:32618", transform=Affine(10, 0, 5e5, 0, -10, 5e6), nodata=0)
    with rasterio.open(path, "w", driver="GTiff", count=3, height=150, width=200, dtype="uint8", **grid) as file:
        file.write(pixels)
    return path


def fails(arguments, capsys, folder):
    before = sorted(folder.rglob("*"))
    with pytest.raises(SystemExit) as exit_:
        main(["predict", *map(str, arguments)])
    assert exit_.value.code == 2
    assert sorted(folder.rglob("*")) == before
    message = capsys.readouterr().err
    assert message.startswith("declouds: ") and message.count("\n") == 1
    return message


def test_a_scene_goes_in_and_comes_out(scene, checkpoint, tmp_path, capsys):
    output = tmp_path / "clear.tif"
    main(["predict", str(scene), "-o", str(output), "--checkpoint", str(checkpoint), "--tile", "64", "--overlap", "16",
          "--batch-size", "2", "--seed", "3", "--device", "cpu"])  # fmt: skip
    printed = capsys.readouterr().out
    assert printed.startswith(f"{output}: 200 x 150 pixels in ")
    assert "Mpx/s), 12 windows, 3 of them skipped (nothing to clear)" in printed and "clipped" not in printed
    with rasterio.open(scene) as one, rasterio.open(output) as other:
        np.testing.assert_array_equal(one.read(), other.read())
        assert one.transform == other.transform and one.crs == other.crs


def test_values_out_of_range_are_told(checkpoint, tmp_path, capsys):
    from declouds.registry import MODELS
    from declouds.weights.file import save_weights

    config = dict(type="OnePass", reference=dict(type="Identity"), bands=1, value_range=(0, 1000))
    save_weights(tmp_path / "m.safetensors", config, MODELS.build(config).state_dict(), {})
    with rasterio.open(tmp_path / "i.tif", "w", driver="GTiff", count=1, height=10, width=10, dtype="uint16",
                       crs="EPSG:32618", transform=Affine(10, 0, 5e5, 0, -10, 5e6)) as file:  # fmt: skip
        file.write(np.repeat(np.uint16([200, 1500]), 50).reshape(1, 10, 10))
    main(
        [
            "predict",
            str(tmp_path / "i.tif"),
            "-o",
            str(tmp_path / "o.tif"),
            "--checkpoint",
            str(tmp_path / "m.safetensors"),
        ]
    )
    assert (
        "50 % of the values were outside the model's range 0 to 1000 and were clipped to it" in capsys.readouterr().out
    )


def test_faults_of_the_files_are_told_before_the_model_is_looked_at(scene, tmp_path, capsys):
    common = ["--checkpoint", tmp_path / "no.safetensors"]
    assert "no such file" in fails([tmp_path / "x.tif", "-o", tmp_path / "o.tif", *common], capsys, tmp_path)
    assert "never overwritten" in fails([scene, "-o", scene, "--overwrite", *common], capsys, tmp_path)
    assert "create it first" in fails([scene, "-o", tmp_path / "no" / "o.tif", *common], capsys, tmp_path)
    assert "cannot hold nodata" in fails([scene, "-o", tmp_path / "o.tif", "--nodata", "-1", *common], capsys, tmp_path)
    assert "from 0 to 255" in fails([scene, "-o", tmp_path / "o.tif", "--overlap", "256", *common], capsys, tmp_path)
    assert "a seed is" in fails([scene, "-o", tmp_path / "o.tif", "--seed", "-2", *common], capsys, tmp_path)
    assert "device 'tpu'" in fails([scene, "-o", tmp_path / "o.tif", "--device", "tpu", *common], capsys, tmp_path)
    assert "no.safetensors" in fails([scene, "-o", tmp_path / "o.tif", *common], capsys, tmp_path)


def test_overwrite(scene, checkpoint, tmp_path, capsys):
    (tmp_path / "o.tif").write_bytes(b"old")
    arguments = [scene, "-o", tmp_path / "o.tif", "--checkpoint", checkpoint]
    assert "--overwrite" in fails(arguments, capsys, tmp_path)
    assert (tmp_path / "o.tif").read_bytes() == b"old"
    main(["predict", *map(str, arguments), "--overwrite"])
    with rasterio.open(tmp_path / "o.tif") as file:
        assert file.shape == (150, 200)


def test_a_scene_for_another_model(checkpoint, tmp_path, capsys):
    with rasterio.open(tmp_path / "i.tif", "w", driver="GTiff", count=4, height=10, width=10, dtype="uint16",
                       crs="EPSG:32618", transform=Affine(10, 0, 5e5, 0, -10, 5e6)) as file:  # fmt: skip
        file.write(np.ones((4, 10, 10), np.uint16))
    message = fails([tmp_path / "i.tif", "-o", tmp_path / "o.tif", "--checkpoint", checkpoint], capsys, tmp_path)
    assert "has 4 bands (1, 2, 3, 4), the model takes 3 (red, green, blue)" in message


def test_the_arguments_are_known_at_once():
    """The help answers without torch or GDAL."""
    parser = argparse.ArgumentParser()
    predict.add_arguments(parser)
    args = parser.parse_args(["a.tif", "-o", "b.tif", "--checkpoint", "c"])
    assert (args.tile, args.overlap, args.seed, args.batch_size, args.nodata, args.overwrite) == (
        256,
        32,
        0,
        None,
        None,
        False,
    )
    code = (
        "import sys, declouds.commands.predict; print([m for m in ('torch', 'rasterio', 'numpy') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


def test_several_scenes_of_which_one_is_broken(scene, checkpoint, tmp_path, capsys, caplog):
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a", "c"):
        (folder / f"{name}.tif").write_bytes(scene.read_bytes())
    (folder / "b.tif").write_bytes(b"broken")
    with pytest.raises(SystemExit) as exit_:
        main(["predict", str(folder), "-o", str(tmp_path / "out"), "--checkpoint", str(checkpoint)])
    assert exit_.value.code == 2
    assert f"1 of 3 scenes were not cleared: {folder / 'b.tif'}" in capsys.readouterr().err
    assert "b.tif: cannot be read as a raster" in caplog.text
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.json", "a.tif", "c.json", "c.tif"]


def test_one_scene_of_a_folder_goes_into_a_new_folder(scene, checkpoint, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    scene.rename(folder / "a.tif")
    main(["predict", str(folder), "-o", str(tmp_path / "out"), "--checkpoint", str(checkpoint)])
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.json", "a.tif"]


def test_results_that_would_meet_are_refused(scene, checkpoint, tmp_path, capsys):
    other = tmp_path / "scene_quality.tif"
    other.write_bytes(scene.read_bytes())
    out = tmp_path / "out"
    out.mkdir()
    common = ["--checkpoint", checkpoint, "--quality", "--overwrite"]
    message = fails([scene, other, "-o", out, *common], capsys, tmp_path)
    assert f"would both write {out / 'scene_quality.tif'}: process them separately" in message
    message = fails([scene, other, "-o", tmp_path, *common], capsys, tmp_path)
    assert "is an input scene that" in message and "choose another output folder" in message


def test_a_preview_lies_beside_the_result(scene, checkpoint, tmp_path):
    main(["predict", str(scene), "-o", str(tmp_path / "o.tif"), "--checkpoint", str(checkpoint), "--preview", "--cog"])
    made = {path.name for path in tmp_path.iterdir()} - {"scene.tif"}
    assert made == {"o.tif", "o.json", "o.png", "o.html"}
    page = (tmp_path / "o.html").read_text()
    assert "data:image/png;base64," in page and "http://" not in page and "https://" not in page


@pytest.mark.parametrize("bands", [3, 4])
def test_a_picture_in_a_picture_out(checkpoint, tmp_path, bands, capsys):
    """Also with an alpha band."""
    pixels = np.random.default_rng(0).integers(20, 200, (bands, 50, 60)).astype(np.uint8)
    pixels[3:] = 255
    pixels[3:, :, :9] = 0
    (tmp_path / "in").mkdir()
    write_image(tmp_path / "in" / "0.png", pixels)
    call = ["predict", "--checkpoint", str(checkpoint)]
    main([*call, str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--preview"])
    made = {path.name for path in (tmp_path / "out").iterdir()}
    assert made == {"0.png", "0.json", "0_preview.png", "0_preview.html"}
    result = read_image(tmp_path / "out" / "0.png")
    np.testing.assert_array_equal(result, pixels)  # the model returns its input
    main([*call, str(tmp_path / "in" / "0.png"), "-o", str(tmp_path / "one.png")])
    assert (read_image(tmp_path / "one.png") == result).all()
    main([*call, str(tmp_path / "in" / "0.png"), "-o", str(tmp_path / "two.tif")])
    assert (read_image(tmp_path / "two.tif") == result).all()


def test_a_picture_cannot_hold_what_a_scene_has(scene, checkpoint, tmp_path, capsys):
    common = ["--checkpoint", checkpoint]
    assert "a PNG has no CRS" in fails([scene, "-o", tmp_path / "o.png", *common], capsys, tmp_path)
    write_image(tmp_path / "0.png", np.full((3, 9, 8), 7, np.uint8))
    message = fails([tmp_path / "0.png", "-o", tmp_path / "o.png", "--cog", *common], capsys, tmp_path)
    assert "leave out --cog" in message
