"""The benchmark tool on a model so small that it takes seconds."""

import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).resolve().parents[1]

TINY = """
datamodule = dict(type="Simulated")  # never built: the benchmark needs no data
model = dict(
    type="DiffusionEnhancement",
    bands=4,
    denoiser=dict(type="ConditionalUNet", base=8, multipliers=(1, 2), blocks=1, attention_at=()),
    reference=dict(type="GainOffsetUNet", base=8, multipliers=(1, 2), blocks=1, attention_at=()),
    fusion=dict(type="FixedWeight"),
    noise_schedule=dict(type="LinearSchedule"),
    sampler=dict(type="DDIM", steps={steps}),
)
stages = []
"""


@pytest.fixture
def configs(tmp_path):
    """Two configs of one network: the second samples in eight times as many steps."""
    paths = tmp_path / "few.py", tmp_path / "many.py"
    for path, steps in zip(paths, (1, 8), strict=True):
        path.write_text(TINY.format(steps=steps))
    return paths


def benchmark(*arguments):
    command = [sys.executable, str(ROOT / "tools" / "benchmark.py"), *map(str, arguments), "--device", "cpu"]
    environment = dict(os.environ, PYTHONPATH=str(ROOT), OMP_NUM_THREADS="1", COLUMNS="200")
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_two_configs_are_timed_in_turn_and_compared(configs, tmp_path):
    out = tmp_path / "out.json"
    done = benchmark(*configs, "--size", 48, "--batch", 1, "--scene", 48, "--repeat", 3, "--threads", 1, "--json", out)
    assert done.returncode == 0, done.stderr
    content = json.loads(out.read_text())
    machine = content["machine"]
    assert (machine["device"], machine["threads"]) == ("cpu", 1)
    assert machine["torch"] and machine["name"]
    assert [config["sampler"]["steps"] for config in content["configs"]] == [1, 8]
    assert content["configs"][0]["parameters"]["fusion"] == 0 < content["configs"][0]["parameters"]["denoiser"]

    measured = {row["kind"]: row for row in content["measurements"]}
    assert list(measured) == ["train", "sample", "scene"]
    for row in measured.values():
        runs = 1 if row["kind"] == "scene" else 3
        for result in row["results"]:
            assert len(result["seconds"]) == runs
            assert 0 < result["min"] <= result["median"] <= result["max"]
            memory = result["memory"]
            assert memory["kind"] == "resident"
            assert 2**26 < memory["before"] <= memory["peak"] < 2**33
        first, second = (result["seconds"] for result in row["results"])
        ratios = [b / a for a, b in zip(first, second, strict=True)]  # run by run: each pair ran under like conditions
        assert row["ratio"] == pytest.approx(dict(median=median(ratios), min=min(ratios), max=max(ratios)))
    assert "second / first" in done.stdout and "sample 48x48, batch 1" in done.stdout


def test_a_measurement_that_dies_is_recorded_and_the_others_go_on(configs, tmp_path):
    out = tmp_path / "out.json"
    done = benchmark(
        configs[0], "--only", "sample", "--batch", 10**12, 1, "--size", 32, "--repeat", 1, "--threads", 1, "--json", out
    )
    assert done.returncode == 1
    too_large, small = json.loads(out.read_text())["measurements"]
    assert "few.py" in too_large["failed"] and "results" not in too_large
    assert small["results"][0]["median"] > 0 and small["ratio"] is None


PROGRAM = """
import sys
kind, size, batch, device, precision, steps = sys.argv[1:]
assert (kind, size, batch, precision, steps) == ("sample", "32", "1", "fp32", "2")
print("ready", flush=True)
for line in sys.stdin:
    print({}, flush=True)
"""


def test_another_program_is_timed_in_turn(configs, tmp_path):
    out, program = tmp_path / "out.json", tmp_path / "other.py"
    program.write_text(PROGRAM.format('123.5 if line == "run\\n" else 4096'))
    some = ("--only", "sample", "--size", 32, "--batch", 1, "--repeat", 2, "--steps", 2, "--threads", 1, "--profile")
    done = benchmark(configs[0], *some, "--against", program, "--json", out)
    assert done.returncode == 0, done.stderr
    content = json.loads(out.read_text())
    (row,) = content["measurements"]
    ours, theirs = row["results"]
    assert content["configs"][0]["steps"] == 2 and content["machine"]["device"] == "cpu"
    assert theirs["seconds"] == [123.5, 123.5] and theirs["memory"]["peak"] == 4096
    assert row["ratio"]["median"] == pytest.approx(median([123.5 / value for value in ours["seconds"]]))
    names = [name for name, _, _ in row["operators"]]
    assert any("conv" in name for name in names) and "share of the time" in done.stdout
    assert 0 < sum(share for _, share, _ in row["operators"]) <= 1


def test_a_program_that_does_not_do_as_agreed(configs, tmp_path):
    program = tmp_path / "other.py"
    program.write_text(PROGRAM.format('"fast"'))
    some = ("--only", "sample", "--size", 32, "--batch", 1, "--repeat", 1, "--steps", 2, "--threads", 1)
    done = benchmark(configs[0], *some, "--against", program)
    assert done.returncode == 1 and "other.py: printed 'fast' instead of a number" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["few.py", "--against", "absent.py"], "--against absent.py does not exist"),
        (["few.py", "few.py", "--against", "few.py"], "give one config"),
        (["few.py", "--steps", "0"], "--steps 0: give 1 or more"),
        (["absent.py"], "absent.py does not exist"),
        (["few.py", "few.py", "few.py"], "give one, or two"),
        (["few.py", "--repeat", "0"], "--repeat 0: give 1 or more"),
        (["few.py", "--batch", "1", "0"], "--batch 0: give 1 or more"),
        (["few.py", "--json", "taken.json"], "give --overwrite"),
        (["few.py", "--json", "nowhere/out.json"], "create it first"),
        (["few.py", "--only", "sample", "--device", "abacus", "--json", "out.json"], "use auto, cpu, cuda"),
        (["typo.py", "--only", "sample", "--json", "out.json"], "did you mean 'ConditionalUNet'"),
    ],
)
def test_bad_input_is_told_in_one_line_and_nothing_is_written(
    arguments, message, configs, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    Path("typo.py").write_text(TINY.format(steps=1).replace("ConditionalUNet", "ConditionalUnet"))
    Path("taken.json").write_text("mine")
    from benchmark import main

    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    *_, last = capsys.readouterr().err.strip().splitlines()
    assert last.startswith("benchmark: ") and message in last
    assert Path("taken.json").read_text() == "mine" and not Path("out.json").exists()


def test_processes_at_once_share_the_threads(configs, tmp_path):
    out = tmp_path / "out.json"
    done = benchmark(
        *(configs[0], "--only", "sample", "--batch", 1, "--size", 32, "--repeat", 2, "--threads", 2),
        *("--processes", 1, 2, "--json", out),
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(out.read_text())["measurements"]
    assert [row["processes"] for row in rows] == [1, 2]
    (alone,), (both,) = (row["results"] for row in rows)
    assert both["memory"]["peak"] > 1.5 * alone["memory"]["peak"]
    for result, count in ((alone, 1), (both, 2)):
        assert result["megapixels_per_second"] == pytest.approx(count * 32**2 / 1e6 / result["median"])
    assert "2 processes" in done.stdout and "Mpx/s" in done.stdout
