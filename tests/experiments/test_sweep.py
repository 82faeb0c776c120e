"""Sweeps as users run them: to the end, broken off, and with cells that fail."""

import json
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from declouds.errors import UserError
from declouds.evaluation.tables import Evaluation, write_evaluation
from declouds.experiments.cell import FAILED, WAITING, State, read_state, write_state
from declouds.experiments.costs import print_costs
from declouds.experiments.sweep import BUSY, Sweep, finished_cells
from declouds.experiments.sweep_file import read_sweep
from declouds.experiments.sweep_table import write_tables


def write_scores(cell, psnr=20.0):
    rows = [{"name": name, "official.psnr": psnr, "image.change": 0.1} for name in "ab"]
    evaluation = Evaluation({"official": "as it is"}, {"DE": rows}, {"digest": "d"})
    write_evaluation(evaluation, cell.results.parent)


def kill_when(process, appears):
    """Kill a sweep without warning as soon as a file is there."""
    until = time.monotonic() + 120
    while not appears() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    assert process.poll() is None, "the sweep was over before it could be killed"
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_a_sweep_killed_at_three_moments_ends_in_the_same_table(sweep_file, sweep_process, sweep, tmp_path):
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
    code, output = sweep(*arguments)
    assert code == 0, output
    code, output = sweep(path, "--out", tmp_path / "whole", "--stages", tmp_path / "others", "--jobs", "2")
    assert code == 0, output
    assert (out / "table.csv").read_bytes() == (tmp_path / "whole" / "table.csv").read_bytes()
    assert (out / "table.tex").read_bytes() == (tmp_path / "whole" / "table.tex").read_bytes()
    means = [(file / "table.md").read_text().split("**Cost**")[0] for file in (out, tmp_path / "whole")]
    assert means[0] == means[1]
    assert "fusion=half,eta=0.0" in means[0]

    before = {file: file.stat().st_mtime_ns for file in out.glob("cells/*/scores/*")}
    code, output = sweep(*arguments)  # all is finished: nothing is run
    assert code == 0, output
    assert before == {file: file.stat().st_mtime_ns for file in out.glob("cells/*/scores/*")}

    # Unbroken, no stage is trained twice. (One that was killed between finishing and sharing it may be.)
    stories = [json.loads(file.read_text())["stages"] for file in tmp_path.glob("whole/cells/*/run/run.json")]
    trained = [stage["name"] for stages in stories for stage in stages if not Path(stage["trained_in"]).is_absolute()]
    assert sorted(trained) == ["coarse", "fine", "fine", "fusion", "reference"]  # 12 stages in all


def test_a_cell_that_fails_is_named_and_the_others_go_on(sweep_file, sweep, tmp_path):
    text = """
base = "tiny.py"
axes = dict(fusion=dict(broken=dict(type="NoSuchFusion"), half=dict(type="FixedWeight", weight=0.5)))
"""
    out = tmp_path / "out"
    arguments = (sweep_file(text), "--out", out, "--stages", tmp_path / "stages")
    code, output = sweep(*arguments)
    assert code == 2
    assert "cell broken failed: unknown fusion 'NoSuchFusion'" in output
    assert str(out / "cells" / "broken" / "log.txt") in output
    assert "1 of 2 cells failed" in output
    assert "half" in (out / "table.md").read_text()
    assert read_state(out / "cells" / "broken").status == FAILED

    log = (out / "cells" / "broken" / "log.txt").read_text()
    sweep(*arguments)
    assert (out / "cells" / "broken" / "log.txt").read_text() == log  # not tried again unasked
    code, output = sweep(*arguments, "--retry")
    assert code == 2
    assert len((out / "cells" / "broken" / "log.txt").read_text()) > len(log)


def test_a_dry_run_says_what_is_trained_once_and_leaves_nothing(sweep_file, sweep, tmp_path):
    out, stages = tmp_path / "out", tmp_path / "stages"
    code, output = sweep(sweep_file(), "--out", out, "--stages", stages, "--dry-run")
    assert code == 0, output
    assert "3 cells, 3 to run" in output
    assert not out.exists()
    assert not stages.exists()


def test_what_is_to_be_run(sweep_file, tmp_path):
    cells = read_sweep(sweep_file()).cells(tmp_path)
    done, failed, _ = cells
    for cell in cells:
        cell.prepare()
    write_scores(done)
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
    (why,) = Sweep(changed[:1]).failures().values()
    assert "holds results of another config than the sweep's" in why
    assert Sweep(changed).to_run() == changed[1:]  # the others go on
    record = cells[0].folder / "cell.json"
    for text, words in (
        (record.read_text()[:40], "is not a record of a cell"),
        ('{"format": 99}', "another version of declouds"),
        ("[]", "is not a record of a cell"),
    ):
        record.write_text(text)
        with pytest.raises(UserError, match=words) as refusal:
            cells[0].state()
        assert str(record) in str(refusal.value)
    record.unlink()
    assert cells[0].state().status == WAITING  # killed before it was written: the config is written anew
    (cells[0].folder / "run").mkdir()
    with pytest.raises(UserError, match=r"has no cell\.json with its config"):
        cells[0].state()


def test_a_dry_run_tells_of_cells_that_cannot_be_run(sweep_file, tmp_path, capsys):
    cells = read_sweep(sweep_file()).cells(tmp_path)[:2]
    for cell in cells:
        cell.prepare()
    (cells[0].folder / "cell.json").write_text("{")
    write_scores(cells[1])
    print_costs(Sweep(cells), tmp_path / "stages", jobs=1)
    shown = " ".join(capsys.readouterr().out.split())
    assert "2 cells, 0 to run" in shown
    assert "is not a record" in shown
    assert "is finished" in shown


def test_scores_that_are_half_written_or_of_another_version_do_not_count(sweep_file, tmp_path):
    cell = read_sweep(sweep_file()).cells(tmp_path)[0]
    cell.prepare()
    write_scores(cell)
    assert Sweep([cell]).to_run() == []
    whole = cell.results.read_text()
    for text in (whole[:100], whole.replace('"format": 1', '"format": 99')):
        cell.results.write_text(text)
        assert Sweep([cell]).to_run() == [cell]
        assert finished_cells(read_sweep(sweep_file()), tmp_path) == []


def test_a_cell_that_another_process_runs_is_no_failure(sweep_file, tmp_path):
    cell = read_sweep(sweep_file()).cells(tmp_path)[0]

    class Engine:
        def run(self, folders, command, watch):
            watch.started(folders[0])
            watch.ended(folders[0], BUSY, "is in use by another process")

    ended = []
    watch = SimpleNamespace(started=lambda folder: None, ended=lambda *told: ended.append(told))
    sweep = Sweep([cell])
    sweep.run(Engine(), lambda folder: [], watch)
    assert ended == [(cell.folder, BUSY, "is in use by another process")]
    assert sweep.failures() == {}


def test_the_baseline_is_found_whatever_its_seed(sweep_file, tmp_path):
    text = 'base = "tiny.py"\naxes = dict(eta=[0.1, 0.2], seed=[0, 1])\nbaseline = "eta=0.2,seed=0"\n'
    sweep = read_sweep(sweep_file(text))
    cells = sweep.cells(tmp_path)
    for number, cell in enumerate(cells):
        cell.prepare()
        write_scores(cell, 20.0 + number)
    write_tables(sweep, cells, tmp_path)
    table = (tmp_path / "table.md").read_text()
    assert "Differences to 0.2, 2 images" in table
    assert "| 0.1 | 20.500 ± 0.707" in table


def test_the_table_is_of_all_that_is_finished_whatever_was_chosen_this_time(sweep_file, tmp_path):
    sweep = read_sweep(sweep_file())
    chosen = sweep.cells(tmp_path, {"fusion": ["half"]}, [4, 5])
    for cell in [*sweep.cells(tmp_path)[:2], *chosen]:
        cell.prepare()
        write_scores(cell)
    write_state(chosen[1].folder, State(chosen[1].digest, chosen[1].values, FAILED, "broken"))
    assert [cell.name for cell in finished_cells(sweep, tmp_path)] == [
        "fusion=learned,eta=0.0",
        "fusion=learned,eta=0.3",
        "fusion=half,eta=0.0,seed=4",
    ]
