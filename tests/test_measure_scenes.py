"""The tool that measures what `declouds predict` promises."""

import re
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT), prepend=":")
    import measure_scenes

    return measure_scenes


@pytest.fixture
def checkpoint(tmp_path):
    from declouds.models import build_model
    from declouds.weights.file import save_weights

    config = dict(type="OnePass", reference=dict(type="Identity"), bands=3, band_names=("red", "green", "blue"))
    save_weights(tmp_path / "identity.safetensors", config, build_model(config).state_dict(), {})
    return tmp_path / "identity.safetensors"


def write(path, pixels):
    grid = dict(crs="EPSG:32618", transform=Affine(10, 0, 5e5, 0, -10, 5e6), nodata=0)
    count, height, width = pixels.shape
    with rasterio.open(path, "w", "GTiff", width, height, count, dtype="uint8", **grid) as file:
        file.write(pixels)
    return path


def test_the_jump_ratio_finds_seams_and_nothing_else(tool, tmp_path):
    noise = np.random.default_rng(0).integers(90, 110, (3, 300, 260)).astype(np.uint8)
    plain = tool.jump_ratio(write(tmp_path / "plain.tif", noise), 64, 0)
    assert plain == pytest.approx(1, abs=0.03)
    shifted = noise.copy()
    for window in tool.windows(300, 260, 64, 0):
        shifted[:, *window.slices] += np.uint8(20 * ((window.row // 64 + window.col // 64) % 2))
    assert tool.jump_ratio(write(tmp_path / "seams.tif", shifted), 64, 0) > 2.5
    shifted[:, :, :130] = 0  # what has no data makes no jump
    half = noise.copy()
    half[:, :, :130] = 0
    assert tool.jump_ratio(write(tmp_path / "half.tif", half), 64, 0) == pytest.approx(1, abs=0.03)


def test_cost_is_measured_by_the_command(tool, checkpoint, capfd):
    tool.main(["cost", "--checkpoint", str(checkpoint), "--masked", "--sizes", "300", "600"])
    rows = [line.split("|")[1:-1] for line in capfd.readouterr().out.splitlines() if line.startswith("| ")][1:]
    assert [row[0].strip() for row in rows] == ["300 x 300"] * 2 + ["600 x 600"] * 2
    whole, masked = (row[2].split() for row in rows[2:])
    assert whole == ["9", "of", "9"] and masked[0] in ("6", "9")
    assert all(20 < float(row[-1]) < 8000 for row in rows)


def test_a_killed_command_ends_in_the_same_bytes(tool, checkpoint, tmp_path, capfd):
    scene = write(tmp_path / "scene.tif", np.random.default_rng(0).integers(1, 255, (3, 400, 400)).astype(np.uint8))
    where = ["--checkpoint", str(checkpoint), "--scene", str(scene)]
    tool.main(["kill", *where, "--times", "1", "--flags", "--tile", "32", "--overlap", "16"])
    assert re.search(r"killed [01] times: the same bytes; left behind: nothing", capfd.readouterr().out)


def test_a_command_that_fails_is_told(tool, tmp_path, capfd):
    with pytest.raises(SystemExit) as stop:
        tool.main(["independence", "--checkpoint", str(tmp_path / "no"), "--scene", str(tmp_path / "no.tif")])
    assert stop.value.code == 2
    error = capfd.readouterr().err.splitlines()
    assert "no such file" in error[0] and error[-1].startswith("measure_scenes: declouds predict failed")
