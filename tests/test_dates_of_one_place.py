"""The tool that makes pairs with other dates."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from declouds.errors import UserError
from declouds.image_io import read_image

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    import dates_of_one_place

    return dates_of_one_place


def test_no_truth_and_nothing_held_out_is_trained_on(tool):
    around = {day for _, days in tool.REAL.values() for day in days}
    assert around == {"2018-06-25", "2018-07-20", "2018-09-03", "2018-09-28"}
    assert not (around | set(tool.HELD_OUT)) & set(tool.TRAIN)
    assert not around & set(tool.KNOWN)


def test_other_dates_go_from_near_to_far(tool):
    assert tool.beside(["1", "2"], ["4"]) == {"before": "2", "after": "4", "earlier": "1"}


def test_haze_and_shadow_are_in_all_bands_that_see_the_ground(tool):
    clear = np.full((13, 64, 64), 0.2, np.float32)
    change = np.mean([tool.airy(clear, np.random.default_rng(seed)) - clear for seed in range(40)], axis=(0, 2, 3))
    assert change[1] > change[3] > change[12]  # haze is bluest
    assert change[10] == pytest.approx(-0.2 * tool.SHADOW / 2, rel=0.3)  # cirrus: shadow alone


def test_the_data_set_is_written_whole(tool, time_series, tmp_path, monkeypatch):
    monkeypatch.setattr(tool, "DRAWS", dict(train=1, val=1))
    out = tmp_path / "dates"
    tool.write(time_series, out, 2)
    names = {part: sorted(path.stem for path in (out / part / "cloud").iterdir()) for part in ("train", "val", "test")}
    assert names["val"] == [f"{day}_0" for day in tool.HELD_OUT] and names["test"] == list(tool.REAL)
    assert not set(names["train"]) & {f"{day}_0" for day in tool.HELD_OUT} and len(names["train"]) == 7
    for part, images in names.items():
        for name in ("label", "mask", "before", "after"):
            assert sorted(path.stem for path in (out / part / name).iterdir()) == images
    cloudy, clear, mask = (read_image(out / "val" / name / "2018-08-24_0.tif") for name in ("cloud", "label", "mask"))
    assert np.array_equal(clear, read_image(time_series / "2018-08-24.tif"))
    changed = np.abs(cloudy.astype(int) - clear)[1:4].max(0)
    assert ((mask[0] == 1) != (changed > 400)).mean() < 0.01  # values are rounded after the mask is made
    assert changed[mask[0] == 0].mean() > 10
    with pytest.raises(UserError, match="exists"):
        tool.write(time_series, out, 2)


def test_another_folder_is_refused_in_one_line(tmp_path):
    command = [sys.executable, ROOT / "tools" / "dates_of_one_place.py", tmp_path, tmp_path / "out"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env={"PYTHONPATH": str(ROOT)})
    assert result.returncode == 1
    assert "2018-02-10.tif" in result.stderr and "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []
