"""`declouds mask`: the pixels that `declouds predict` clears, as a raster."""

from types import SimpleNamespace

import numpy as np
import pytest
import rasterio
from affine import Affine

from declouds.cli import main
from declouds.scenes import write_mask

GRID = dict(crs="EPSG:32618", transform=Affine(10, 2, 5e5, 2, -10, 5e6))


@pytest.fixture
def scene(tmp_path):
    """Dark ground with a bright, white square, and no data in the first columns."""
    pixels = np.random.default_rng(0).integers(20, 60, (3, 300, 280)).astype(np.uint8)
    pixels[:, 100:140, 90:150] = 240
    pixels[:, :, :30] = 0
    path = tmp_path / "scene.tif"
    with rasterio.open(path, "w", driver="GTiff", count=3, height=300, width=280, dtype="uint8", nodata=0, **GRID) as f:
        f.write(pixels)
        f.colorinterp = [rasterio.enums.ColorInterp[name] for name in ("red", "green", "blue")]
    return path


def fails(arguments, capsys, folder):
    before = {path: path.read_bytes() for path in folder.rglob("*")}
    with pytest.raises(SystemExit) as stopped:
        main(["mask", *map(str, arguments)])
    assert stopped.value.code == 2
    assert {path: path.read_bytes() for path in folder.rglob("*")} == before
    message = capsys.readouterr().err
    assert message.startswith("declouds: ") and message.count("\n") == 1
    return message


def test_the_mask_is_what_predict_clears(scene, tmp_path, monkeypatch, capsys, caplog):
    monkeypatch.setattr(write_mask, "SIDE", 256)  # several windows
    monkeypatch.setenv("DECLOUDS_PROGRESS", "lines")
    choices = ["--detector", "BrightWhite", "--dilate", "5", "--device", "cpu"]
    main(["mask", str(scene), "-o", str(tmp_path / "mask.tif"), *choices])
    printed = capsys.readouterr()
    assert printed.out.splitlines()[1] == "cloud: the detector BrightWhite"
    assert printed.err.splitlines()[-1] == "progress 100% scene.tif finding clouds"
    with rasterio.open(tmp_path / "mask.tif") as file:
        assert (file.crs, file.transform, file.nodata) == (*(GRID[key] for key in ("crs", "transform")), 255)
        mask = file.read(1)
    assert (mask[:, :30] == 255).all() and set(np.unique(mask[:, 30:])) == {0, 1}
    assert (mask[100:140, 90:150] == 1).all() and mask[95, 100] == 1 and mask[94, 100] == 0  # dilated by a disc of 5
    assert f"{100 * (mask == 1).sum() / (mask < 255).sum():.3g} % of those with data" in printed.out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mask.tif", "scene.tif"]

    # As a mask file it clears the same pixels, and that it says nothing where the scene has no data is no fault.
    main(["predict", str(scene), "-o", str(tmp_path / "by_detector.tif"), "--mask", "auto", *choices])
    main(["predict", str(scene), "-o", str(tmp_path / "by_file.tif"), "--mask", str(tmp_path / "mask.tif")])
    assert "does not cover" not in capsys.readouterr().err + caplog.text
    with rasterio.open(tmp_path / "by_detector.tif") as one, rasterio.open(tmp_path / "by_file.tif") as other:
        np.testing.assert_array_equal(one.read(), other.read())


def test_a_mask_file_is_laid_on_the_scene(scene, tmp_path, capsys):
    classes = np.full((150, 140), 4, np.uint8)
    classes[20:30, 40:60], classes[50:60, 70:80] = 9, 3  # cloud, shadow
    grid = dict(GRID, transform=Affine(20, 4, 5e5, 4, -20, 5e6))
    with rasterio.open(
        tmp_path / "scl.tif", "w", driver="GTiff", count=1, height=150, width=140, dtype="uint8", **grid
    ) as f:
        f.write(classes, 1)
    wanted = np.repeat(np.repeat(classes, 2, axis=0), 2, axis=1)
    for shadow, values in (("clear", (9, 3)), ("keep", (9,))):
        given = ["--mask", str(tmp_path / "scl.tif"), "--mask-kind", "scl", "--shadow", shadow, "--overwrite"]
        main(["mask", str(scene), "-o", str(tmp_path / "mask.tif"), *given])
        with rasterio.open(tmp_path / "mask.tif") as file:
            found = file.read(1)
        np.testing.assert_array_equal(found[:, 30:], np.isin(wanted, values)[:, 30:])
    assert "(Sentinel-2's scene classification (SCL), 8 or 9 or 10)" in capsys.readouterr().out


def test_what_cannot_be_written(scene, tmp_path, capsys):
    output = tmp_path / "mask.tif"
    output.write_bytes(b"old")
    assert "--overwrite" in fails([scene, "-o", output], capsys, tmp_path)
    assert "never overwritten" in fails([scene, "-o", scene, "--overwrite"], capsys, tmp_path)
    assert "no mask" in fails([scene, "-o", output, "--mask", "none", "--overwrite"], capsys, tmp_path)
    assert "is a GeoTIFF" in fails([scene, "-o", tmp_path / "mask.png"], capsys, tmp_path)
    assert "neither in it nor beside it" in fails(
        [scene, "-o", output, "--mask", "scl", "--overwrite"], capsys, tmp_path
    )
    with rasterio.open(output, "w", driver="GTiff", count=1, height=300, width=280, dtype="uint8", **GRID) as file:
        file.write(np.zeros((1, 300, 280), np.uint8))
    given = [scene, "-o", output, "--mask", output, "--overwrite"]
    assert "is read for the result" in fails(given, capsys, tmp_path)


def test_a_disk_that_fills_up_leaves_nothing(scene, tmp_path, monkeypatch, capsys):
    numbers = iter(range(9))  # no block is read as it was written
    monkeypatch.setattr(write_mask, "zlib", SimpleNamespace(crc32=lambda values: next(numbers)))
    message = fails([scene, "-o", tmp_path / "mask.tif", "--detector", "BrightWhite"], capsys, tmp_path)
    assert "is the disk full" in message
