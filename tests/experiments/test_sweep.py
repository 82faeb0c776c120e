"""Sweeps as users run them: to the end, broken off, and with cells that fail."""

import json
import signal
import time
from pathlib import Path

import pytest

from declouds.errors import UserError
from declouds.experiments.cell import FAILED, State, read_state, write_state
from declouds.experiments.sweep import Sweep
from declouds.experiments.sweep_file import read_sweep


def finish(process):
    output, _ = process.communicate(timeout=300)
    return process.returncode, output


def kill_when(process, appears):
    """Kill a sweep without warning as soon as a file is there."""
    until = time.monotonic() + 120
    while not appears() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    assert process.poll() is None, "the sweep was over before it could be killed"
    process.send_signal(signal.SIGKILL)
    process.communicate()


def test_a_sweep_killed_at_three_moments_ends_in_the_same_table(sweep_file, sweep_process, tmp_path):
    path, out, stages = sweep_file(), tmp_path / "out", tmp_path / "stages"
    arguments = (path, "--out", out, "--stages", stages, "--jobs", "2")
    moments = (
        lambda: list(out.glob("cells/*/run/1_coarse/iter_*.pth")),  # within a stage
        lambda: list(out.glob("cells/*/run/3_fine/finished.pth")),  # between training and test
        lambda: list(out.glob("cells/*/scores/results.json")),  # after the first cell
    )
    for moment in moments:
        kill_when(sweep_process(*arguments), moment)
        assert not (out / "table.csv").exists()
    code, output = finish(sweep_process(*arguments))
    assert code == 0, output
    code, output = finish(
        sweep_process(path, "--out", tmp_path / "whole", "--stages", tmp_path / "others", "--jobs", "2")
    )
    assert code == 0, output
    assert (out / "table.csv").read_bytes() == (tmp_path / "whole" / "table.csv").read_bytes()
    assert (out / "table.tex").read_bytes() == (tmp_path / "whole" / "table.tex").read_bytes()
    means = [(file / "table.md").read_text().split("**Cost**")[0] for file in (out, tmp_path / "whole")]
    assert means[0] == means[1]
    assert "fusion=half,eta=0.0" in means[0]

    before = {file: file.stat().st_mtime_ns for file in out.glob("cells/*/scores/*")}
    code, output = finish(sweep_process(*arguments))  # all is finished: nothing is run
    assert code == 0, output
    assert before == {file: file.stat().st_mtime_ns for file in out.glob("cells/*/scores/*")}

    stories = [json.loads(file.read_text())["stages"] for file in out.glob("cells/*/run/run.json")]
    trained = [stage["name"] for stages in stories for stage in stages if not Path(stage["trained_in"]).is_absolute()]
    assert sorted(trained) == ["coarse", "fine", "fine", "fusion", "reference"]  # 12 stages in all


def test_a_cell_that_fails_is_named_and_the_others_go_on(sweep_file, sweep_process, tmp_path):
    text = """
base = "tiny.py"
axes = dict(fusion=dict(broken=dict(type="NoSuchFusion"), half=dict(type="FixedWeight", weight=0.5)))
"""
    out = tmp_path / "out"
    arguments = (sweep_file(text), "--out", out, "--stages", tmp_path / "stages")
    code, output = finish(sweep_process(*arguments))
    assert code == 2
    assert "cell broken has failed: no fusion is called 'NoSuchFusion'" in output
    assert str(out / "cells" / "broken" / "log.txt") in output
    assert "1 of 2 cells have failed" in output
    assert "half" in (out / "table.md").read_text()
    assert read_state(out / "cells" / "broken").status == FAILED

    log = (out / "cells" / "broken" / "log.txt").read_text()
    finish(sweep_process(*arguments))
    assert (out / "cells" / "broken" / "log.txt").read_text() == log  # not tried again unasked
    code, output = finish(sweep_process(*arguments, "--retry"))
    assert code == 2
    assert len((out / "cells" / "broken" / "log.txt").read_text()) > len(log)


def test_a_dry_run_says_what_is_trained_once_and_leaves_nothing(sweep_file, sweep_process, tmp_path):
    out, stages = tmp_path / "out", tmp_path / "stages"
    code, output = finish(sweep_process(sweep_file(), "--out", out, "--stages", stages, "--dry-run"))
    assert code == 0, output
    assert "3 cells, 3 to run" in output
    assert not out.exists()
    assert not stages.exists()


def test_what_is_to_be_run(sweep_file, tmp_path):
    cells = read_sweep(sweep_file()).cells(tmp_path)
    done, failed, _ = cells
    for cell in cells:
        cell.prepare()
    done.results.parent.mkdir()
    done.results.write_text("{}")
    write_state(failed.folder, State(failed.digest, failed.values, FAILED, "broken"))
    assert [cell.name for cell in Sweep(cells).to_run()] == ["fusion=half,eta=0.0"]
    assert [cell.name for cell in Sweep(cells, retry=True).to_run()] == [
        "fusion=learned,eta=0.3",
        "fusion=half,eta=0.0",
    ]
    assert Sweep(cells).failures() == {"fusion=learned,eta=0.3": "broken"}


def test_the_folder_of_another_config_and_broken_records_are_refused(sweep_file, tmp_path):
    cells = read_sweep(sweep_file()).cells(tmp_path)
    cells[0].prepare()
    changed = read_sweep(sweep_file(), ["seed=5"]).cells(tmp_path)
    with pytest.raises(UserError, match="holds results of another config than the sweep's"):
        Sweep(changed)
    record = cells[0].folder / "cell.json"
    for text, words in (
        (record.read_text()[:40], "is no record of a cell"),
        ('{"format": 99}', "another version of declouds"),
        ("[]", "is no record of a cell"),
    ):
        record.write_text(text)
        with pytest.raises(UserError, match=words) as refusal:
            Sweep(cells)
        assert str(record) in str(refusal.value)
