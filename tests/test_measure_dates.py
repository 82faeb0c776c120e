"""The tool that measures composites of dates, and what it says of the match of colours."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    import measure_dates

    return measure_dates


def scores(tool, time_series, target, others, how, image=None, truth=None):
    dates = np.stack([tool.read(time_series, day) for day in others])
    gaps = [tool.days_from(target, day) for day in others]
    return tool.score(image, truth, dates, gaps, how)


@pytest.mark.parametrize("how", ["linear", "nearest", "median"])
@pytest.mark.parametrize("target", ["2018-07-05", "2018-09-18"])
def test_real_haze_and_shadow_do_not_spoil_the_colours(tool, time_series, target, how):
    others, around = tool.REAL[target]
    truth = np.mean([tool.read(time_series, day) for day in around], 0)
    kept, matched, best = scores(tool, time_series, target, others, how, tool.read(time_series, target), truth)
    assert kept <= matched < best


@pytest.mark.parametrize(("target", "least"), [("2018-05-31", 1.5), ("2018-10-08", 3.5)])
def test_clear_ground_brings_the_dates_to_the_colours_of_the_target(tool, time_series, target, least):
    others, truth = dict(tool.simulated())[target], tool.read(time_series, target)
    image = tool.clouded(truth, target, 1)
    kept, matched, _ = scores(tool, time_series, target, others, "linear", image, truth)
    assert matched > kept + least


def test_another_folder_is_refused_in_one_line(tmp_path):
    command = [sys.executable, ROOT / "tools" / "measure_dates.py", tmp_path]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env={"PYTHONPATH": str(ROOT)})
    assert result.returncode == 1
    assert "2018-06-25.tif" in result.stderr and "Traceback" not in result.stderr
