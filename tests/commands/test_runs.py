"""`declouds runs`: what it finds, how it filters and sorts, and what it says of files it cannot read."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from declouds.cli import main
from declouds.errors import UserError
from declouds.runs.filter import read_condition
from declouds.runs.listing import flat
from declouds.runs.process_identity import this_process

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def one_command(monkeypatch):
    monkeypatch.setattr("declouds.cli.COMMANDS", ("runs",))


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def make_run(folder, fusion="WeightAllocation", seconds=100.0, seed=0, status="finished", error=None, done=2):
    """Write a record with two stages and two sessions."""
    model = dict(
        type="DiffusionEnhancement",
        denoiser=dict(type="ConditionalUNet"),
        reference=dict(type="NAFNet"),
        fusion=fusion and dict(type=fusion),
    )
    stages = [
        dict(
            name=name,
            status="finished" if number < done else "training",
            iterations=1000,
            samples=4000,
            seconds=seconds / 4,
            trained_in=f"{number}_{name}" if number < done else None,
        )
        for number, name in enumerate(("coarse", "fine"))
    ]
    sessions = [
        dict(
            started="2026-11-20T10:00:00+00:00",
            ended="2026-11-20T11:00:00+00:00",
            status="stopped",
            error="killed, or the machine went down",
            process=this_process() | dict(pid=1, started=0),
            seconds=seconds / 2,
            energy=dict(joules=500.0, of=["RAPL package-0"], reason=None),
            versions=dict(torch="2.15.0"),
            command=f"declouds train {name}",
        )
        for name in ("a", "b")
    ]
    record = dict(
        format=1,
        status=status,
        error=error,
        config_file="configs/de_rice1.py",
        config=dict(model=model, datamodule=dict(type="RICE"), precision="bf16", stages=[dict(name="fine", lr=0.001)]),
        seed=seed,
        data=dict(train=dict(count=64, digest="abc", split="split.json")),
        given={},
        weights=dict(file="model.safetensors", sha256=f"digest of {folder.name}"),
        stages=stages,
        sessions=sessions,
        started="2026-11-20T10:00:00+00:00",
        updated="2026-11-20T11:00:00+00:00",
        ended="2026-11-20T11:00:00+00:00",
        seconds=seconds,
        peak_memory=3 * 2**30,
        energy=dict(joules=1000.0, reason=None),
    )
    write(folder / "run.json", record)
    return record


def make_scores(folder, psnr, weights=None, version=1):
    rows = [{"name": "0", "official.psnr": psnr}]
    methods = {name: dict(summary={"official.psnr": dict(mean=mean)}, per_image=rows) for name, mean in psnr.items()}
    about = dict(config="configs/de_rice1.py", seed=0, weights=dict(sha256=weights), seconds=7.0)
    split = dict(part="test", count=16, split="split.json", digest="def")
    write(folder / "results.json", dict(format=version, methods=methods, about=about, split=split, protocols={}))
    (folder / "summary.csv").write_text("")


@pytest.fixture
def work_dirs(tmp_path, monkeypatch):
    """Three runs, one measured within and one outside of its folder, and a cell of a sweep."""
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path / "work_dirs" / "a")
    make_scores(tmp_path / "work_dirs" / "a" / "scores", dict(cloudy=18.0, DE=24.5))
    make_run(tmp_path / "work_dirs" / "deep" / "b", fusion=None, seconds=9000.0, seed=1)
    make_scores(tmp_path / "work_dirs" / "scores_of_b", dict(result=21.25), weights="digest of b")
    make_run(tmp_path / "work_dirs" / "c", status="running", seconds=20.0, done=1)
    cell = tmp_path / "work_dirs" / "sweep" / "cells" / "wa_0"
    make_run(cell / "run", status="failed", error="the loss is not finite", seed=5, done=0)
    write(cell / "cell.json", dict(format=1, values=dict(axis="wa"), status="failed", why="no numbers", seconds=1.0))
    return Path("work_dirs")


def listed(capsys, *arguments):
    main(["runs", *map(str, arguments), "--json"])
    return json.loads(capsys.readouterr().out)


def names(capsys, *arguments):
    return [Path(row["name"]).name for row in listed(capsys, *arguments)]


def refused(capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        main(["runs", *map(str, arguments)])
    assert stop.value.code == 2
    return capsys.readouterr().err.strip()


def test_runs_cells_and_scores_are_found_with_their_status_and_scores(work_dirs, capsys):
    rows = {Path(row["name"]).name: row for row in listed(capsys)}
    assert {name: (row["kind"], row["status"]) for name, row in rows.items()} == {
        "a": ("run", "finished"),
        "b": ("run", "finished"),
        "c": ("run", "stopped"),  # its process is gone
        "wa_0": ("cell", "failed"),
        "scores_of_b": ("scores", "measured"),
    }
    assert {name: row.get("official.psnr") for name, row in rows.items()} == {
        "a": 24.5, "b": 21.25, "c": None, "wa_0": None, "scores_of_b": 21.25,
    }  # fmt: skip
    assert [rows[name]["stages"] for name in ("a", "b", "c", "wa_0")] == ["2/2", "2/2", "1/2", "0/2"]
    assert rows["b"]["model"] == "ConditionalUNet + NAFNet" and rows["wa_0"]["axis"] == "wa"
    assert rows["a"]["config"] == "de_rice1" and rows["a"]["data"] == "RICE, 64 to train on"


def test_the_table_is_for_people(work_dirs, capsys):
    main(["runs"])
    lines = capsys.readouterr().out.splitlines()
    head = next(line for line in lines if "official.psnr" in line)
    assert [word for word in head.split() if word.isidentifier()][:3] == ["name", "status", "config"]
    line = next(line for line in lines if "deep/b" in line)
    assert "2 h 30 min" in line and "3.00 GiB" in line and "21.250" in line


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        (["model.fusion.type=WeightAllocation"], ["a", "c", "wa_0"]),
        (["model.fusion.type=Weight*", "kind=run"], ["a", "c"]),
        (["model.fusion=none", "kind=run"], ["b"]),
        (["model.fusion=Weight*", "datamodule=RICE"], ["a", "c", "wa_0"]),
        (["model.fusion.type!=WeightAllocation", "kind!=scores"], ["b"]),
        (["seconds>3600"], ["b"]),
        (["seconds >= 100", "seconds<9000"], ["a", "wa_0"]),
        (["official.psnr>22"], ["a"]),
        (["seed=1.0"], ["b"]),
        (["precision=bf16", "status=failed"], ["wa_0"]),
        (["stages.fine.lr=1e-3", "stages.fine.status=finished"], ["a", "b"]),
        (["started>2026-11-19", "versions.torch=2.15*", "axis=wa"], ["wa_0"]),
        (["data.train.digest=abc", "name=*deep*"], ["b"]),
        (["energy.joules>1000"], []),
    ],
)
def test_filters(work_dirs, capsys, conditions, expected):
    assert names(capsys, "work_dirs", "--where", *conditions) == expected


def test_sorted_by_a_key_with_those_that_lack_it_last(work_dirs, capsys):
    found = names(capsys, "--sort", "official.psnr", "--reverse")
    assert found[:3] == ["a", "b", "scores_of_b"] and set(found[3:]) == {"c", "wa_0"}
    assert names(capsys, "--sort", "seconds", "--where", "kind=run") == ["c", "a", "b"]


def test_columns_are_chosen_by_key(work_dirs, capsys):
    keys = ["name", "stages.coarse.seconds", "energy.joules"]
    (row,) = listed(capsys, "work_dirs/a", "--columns", *keys)
    assert row == {"name": "work_dirs/a", "stages.coarse.seconds": 25.0, "energy.joules": 1000.0}
    main(["runs", "work_dirs", "--columns", *keys])
    assert "1,000 J" in capsys.readouterr().out


def test_one_run_is_told_in_full(work_dirs, capsys):
    main(["runs", "work_dirs/a"])
    page = capsys.readouterr().out
    for words in (
        "work_dirs/a: finished", "session 1 of 2", "stopped: killed, or the machine went down", "declouds train b",
        "torch 2.15.0", "64 pairs of split.json", "1 min 40 s", "1,000 J", "SHA-256 digest of a", "24.500",
    ):  # fmt: skip
        assert words in page, words
    main(["runs", "work_dirs/sweep/cells/wa_0"])
    page = capsys.readouterr().out
    assert "the loss is not finite" in page and "no numbers" in page and "axis wa" in page
    main(["runs", "work_dirs/scores_of_b"])
    assert "work_dirs/scores_of_b: measured" in capsys.readouterr().out


def test_files_that_cannot_be_read_are_named_and_the_others_listed(work_dirs, capsys):
    whole = (work_dirs / "a" / "run.json").read_text()
    record = json.loads(whole)
    for name, text in (
        ("half", whole[: len(whole) // 2]),
        ("foreign", '{"name": "npm"}'),
        ("later", json.dumps(record | dict(format=2))),
        ("emptied", json.dumps(record | dict(sessions=[]))),
        ("list", "[1, 2]"),
        ("binary", "\x00\x01"),
    ):
        (work_dirs / name).mkdir()
        (work_dirs / name / "run.json").write_text(text)
    (work_dirs / "older" / "0_coarse").mkdir(parents=True)
    (work_dirs / "older" / "0_coarse" / "finished.pth").write_text("")
    (work_dirs / "older" / "config.py").write_text("")
    make_scores(work_dirs / "old_scores", dict(DE=20.0), version=0)
    (work_dirs / "sweep" / "cells" / "wa_0" / "cell.json").write_text('{"format": 1, "val')

    main(["runs"])
    output = capsys.readouterr().out
    lines = [line for line in output.splitlines() if line.startswith("work_dirs/")]
    assert len(lines) == 9
    for words in (
        "work_dirs/half/run.json is broken, maybe half-written",
        "work_dirs/foreign/run.json is not a record of a declouds run",
        "work_dirs/list/run.json is not a record of a declouds run",
        "work_dirs/later/run.json was written by another version of declouds (format 2, this one reads 1)",
        "work_dirs/emptied/run.json is not a complete record",
        "work_dirs/binary/run.json is broken",
        "work_dirs/older/run.json is missing: the run was trained by a declouds that kept no record",
        "work_dirs/old_scores/results.json was written by another version of declouds (format 0, this one reads 1)",
        "work_dirs/sweep/cells/wa_0/cell.json cannot be read, maybe it is half-written",
    ):
        assert sum(line.startswith(words) for line in lines) == 1, words
    rows = {Path(row["name"]).name: row for row in listed(capsys)}
    assert rows["a"]["official.psnr"] == 24.5 and rows["half"]["status"] == "unreadable"
    assert (rows["older"]["status"], rows["older"]["stages"]) == ("no record", "1/?")
    main(["runs", "work_dirs/half"])
    assert "work_dirs/half/run.json is broken" in capsys.readouterr().out


def test_what_is_asked_wrongly_is_said(work_dirs, capsys):
    assert "absent: no such folder: give one that holds runs" in refused(capsys, "absent")
    assert "has the key 'model.fusin.type': did you mean 'model.fusion.type'" in refused(
        capsys, "--where", "model.fusin.type=X"
    )
    assert "has the key 'secs'" in refused(capsys, "--sort", "secs")
    for text in ("seconds", "=3", "seconds~3"):
        assert "give KEY=VALUE" in refused(capsys, "--where", text) and "in quotes" in refused(capsys, "--where", text)


def test_an_empty_folder_has_no_runs(tmp_path, capsys):
    main(["runs", str(tmp_path)])
    assert capsys.readouterr().out.startswith(f"no run in {tmp_path}")
    assert listed(capsys, tmp_path) == []


def test_the_grammar_of_conditions():
    assert read_condition("a.b>=3") == ("a.b", ">=", "3")
    assert read_condition("a == x=y") == ("a", "==", "x=y")
    assert read_condition("a!=") == ("a", "!=", "")
    assert read_condition("a=[1]").holds({"a": "[1]"}) is False  # brackets are a pattern
    assert not read_condition("a>1").holds({"a": True}) and not read_condition("a>1").holds({})
    assert read_condition("a=none").holds({}) and read_condition("a=false").holds({"a": False})
    with pytest.raises(UserError):
        read_condition("a b=1")


def test_flat_keys():
    assert flat(dict(model=dict(type="X", n=1))) == {"model": "X", "model.type": "X", "model.n": 1}
    tree = dict(a=dict(b=[1, 2]), stages=[dict(name="x", lr=1), dict(lr=2)], empty={}, none=None)
    assert flat(tree) == {"a.b": "1, 2", "stages.x.name": "x", "stages.x.lr": 1, "stages.1.lr": 2, "none": None}


def test_a_list_of_many_runs_takes_a_moment_and_no_torch(work_dirs):
    for number in range(100):
        shutil.copytree(work_dirs / "a", work_dirs / f"copy_{number}")
    code = """
import sys, time
from declouds import cli
cli.COMMANDS = ("runs",)
started = time.process_time()
cli.main(["runs", "work_dirs"])
print("seconds:", time.process_time() - started, [m for m in ("torch", "mmengine", "scipy") if m in sys.modules])
"""
    answer = subprocess.run(
        [sys.executable, "-c", code], env=dict(os.environ, PYTHONPATH=str(ROOT)), capture_output=True, text=True
    )
    assert "copy_99" in answer.stdout, answer.stderr
    _, seconds, modules = answer.stdout.splitlines()[-1].split(maxsplit=2)
    assert modules == "[]" and float(seconds) < 3
