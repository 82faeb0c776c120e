import os
import subprocess
import sys

import numpy as np
import pytest
import rasterio

from declouds.errors import UserError
from declouds.simulation.simulated_scene import simulate_scene


def read(path):
    with rasterio.open(path) as file:
        return file.read(), file.profile, file.descriptions


def test_a_scene_is_three_geotiffs_on_one_grid(tmp_path):
    files = simulate_scene(tmp_path / "scene.tif", 300, 280, bands=4, seed=3, dtype="uint16", nodata=0)
    assert sorted(os.listdir(tmp_path)) == ["scene.tif", "scene_clear.tif", "scene_mask.tif"]
    (cloudy, profile, names), (clear, other, _), (mask, grid, _) = map(read, files)
    assert cloudy.shape == clear.shape == (4, 300, 280) and mask.shape == (1, 300, 280)
    assert profile["dtype"] == "uint16" and profile["nodata"] == 0 and profile["tiled"]
    assert names == ("red", "green", "blue", "nir")
    assert profile["crs"].to_epsg() == 32632
    assert profile["transform"] == other["transform"] == grid["transform"]
    assert profile["transform"].a == 10
    corners = (cloudy == 0).all(axis=0)
    assert 0.05 < corners.mean() < 0.4 and corners[0, 0] and not corners[150, 140]
    np.testing.assert_array_equal((cloudy == 0).any(axis=0), corners)  # nodata is nowhere else
    np.testing.assert_array_equal((clear == 0).any(axis=0), corners)
    assert cloudy.max() <= 10000
    inside = (mask[0] == 1) & ~corners
    assert (cloudy.astype(int) - clear)[:3, inside].mean() > 300


def test_a_fresh_process_writes_the_same_pixels(tmp_path):
    code = (
        "from declouds.simulation.simulated_scene import simulate_scene;"
        f"simulate_scene({str(tmp_path / 'there.tif')!r}, 96, 80, bands=3, seed=11)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    simulate_scene(tmp_path / "here.tif", 96, 80, bands=3, seed=11)
    simulate_scene(tmp_path / "other.tif", 96, 80, bands=3, seed=12)
    for suffix in ("", "_clear", "_mask"):
        here, there = (read(tmp_path / f"{name}{suffix}.tif")[0] for name in ("here", "there"))
        np.testing.assert_array_equal(here, there)
    assert (read(tmp_path / "here.tif")[0] != read(tmp_path / "other.tif")[0]).mean() > 0.9


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("scene.png", {}, "call it .tif"),
        ("scene.tif", {"bands": 5}, "3 or 4 bands"),
        ("scene.tif", {"dtype": "int32"}, "uint8, uint16, float32"),
        ("scene.tif", {"nodata": -1}, "uint8 cannot hold it"),
        ("scene.tif", {"cloud": "fog"}, "thin, thick, mixed"),
        ("none/scene.tif", {}, "create it first"),
    ],
)
def test_what_cannot_be_simulated_writes_nothing(tmp_path, name, arguments, message):
    with pytest.raises(UserError, match=message):
        simulate_scene(tmp_path / name, 32, 32, **arguments)
    assert os.listdir(tmp_path) == []


def test_existing_scenes_are_kept(tmp_path):
    (tmp_path / "scene_clear.tif").write_bytes(b"mine")
    with pytest.raises(UserError, match=r"scene_clear.tif exists already"):
        simulate_scene(tmp_path / "scene.tif", 32, 32)
    assert os.listdir(tmp_path) == ["scene_clear.tif"]
