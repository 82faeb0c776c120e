import os
import signal
import subprocess
import sys
import time

import pytest

from declouds.errors import UserError
from declouds.experiments.engines import local
from declouds.experiments.engines.local import LocalEngine

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties a process to the one that started it")

# Runs a sweep of the folders given, two at a time; what a cell does is in its file `do`.
SWEEP = """
import signal
# Under nohup, or in the background of a script, these come ignored: a terminal's are wanted.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
import sys
from pathlib import Path
from declouds.experiments.engines import cell_process
from declouds.experiments.engines.local import LocalEngine

cell_process.end_all.__defaults__ = (3600.0,)  # who ends before that was asked, or killed by a second signal

class Nobody:
    def started(self, folder): pass
    def ended(self, folder, code, why): print("ended", folder.name)
    def tick(self): pass

LocalEngine(2).run([Path(name) for name in sys.argv[1:]], lambda folder: ["sh", str(folder / "do")], Nobody())
"""


class Record:
    def __init__(self):
        self.events, self.ticks = [], 0

    def started(self, folder):
        self.events.append(("started", folder.name))

    def ended(self, folder, code, why):
        self.events.append(("ended", folder.name, code, why))

    def tick(self):
        self.ticks += 1

    def ends(self):
        return {event[1]: event[2:] for event in self.events if event[0] == "ended"}


@pytest.fixture
def run(tmp_path):
    """Runs shell commands, name -> command, as cells; gives the record and the folder they are in."""

    def run(commands, jobs=2, engine=LocalEngine):
        record = Record()
        for name in commands:
            (tmp_path / name).mkdir(exist_ok=True)
        engine(jobs).run([tmp_path / name for name in commands], lambda f: ["sh", "-c", commands[f.name]], record)
        return record, tmp_path

    return run


def said(folder):
    return [line for line in (folder / "log.txt").read_text().splitlines() if not line.startswith("===")]


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def wait_for(condition, seconds=180.0):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.05)


@pytest.fixture
def sweep(tmp_path):
    """Starts a sweep in a process of its own, and gives it with the ids of all processes of its cells once they run."""
    started = []

    def sweep(*cells):
        folders = []
        for i, cell in enumerate(cells):
            folders.append(tmp_path / f"cell{i}")
            folders[-1].mkdir()
            # Every cell has a process of its own in the background, as a loader has.
            (folders[-1] / "do").write_text(
                f"cd {folders[-1]}\n{cell}\nsleep 3600 &\necho $! $$ >pids\nwait\nsleep 3600\n"
            )
        process = subprocess.Popen([sys.executable, "-c", SWEEP, *folders], stdout=subprocess.PIPE, text=True)
        started.append(process)
        first = [folder / "pids" for folder in folders[:2]]
        wait_for(lambda: all(path.exists() and len(path.read_text().split()) == 2 for path in first))
        return process, [int(pid) for path in first for pid in path.read_text().split()]

    yield sweep
    for process in started:
        process.kill()
        process.wait()


def test_cells_run_in_order_and_as_many_as_jobs(run, tmp_path):
    trace = tmp_path / "trace"
    commands = {f"cell{i}": f"echo + >>{trace}; sleep 0.3; echo - >>{trace}" for i in range(5)}
    record, _ = run(commands, jobs=2)

    assert [event[1] for event in record.events if event[0] == "started"] == list(commands)
    assert record.ends() == {name: (0, "") for name in commands}
    side_by_side = [0]
    for sign in trace.read_text().split():
        side_by_side.append(side_by_side[-1] + (1 if sign == "+" else -1))
    assert max(side_by_side) == 2
    assert record.ticks >= 5


def test_a_failure_is_told_in_one_line_and_the_others_go_on(run, tmp_path):
    record, folder = run(
        {
            "fault": "echo working; echo 'declouds: no such band: B99, give another'; echo bye; exit 2",
            "bug": "echo Traceback; echo 'ValueError: 3'; echo; exit 1",
            "silent": "exit 7",
            "killed": "echo 'declouds: not this'; kill -9 $$",
            "good": "echo out; echo err >&2",
        }
    )
    assert record.ends() == {
        "fault": (2, "no such band: B99, give another"),
        "bug": (1, "ValueError: 3"),
        "silent": (7, f"exit code 7, with nothing in {folder / 'silent' / 'log.txt'}"),
        "killed": (-9, "killed by signal 9, perhaps out of memory"),
        "good": (0, ""),
    }
    assert said(folder / "good") == ["out", "err"]


def test_a_cell_that_cannot_start_does_not_stop_the_others(tmp_path):
    record = Record()
    commands = {"no_program": ["/nowhere/python"], "no_folder": ["true"], "good": ["true"]}

    def command(folder):
        if folder.name == "at_fault":
            raise UserError("config.py is broken")
        return commands[folder.name]

    for name in ("no_program", "good", "at_fault"):
        (tmp_path / name).mkdir()
    LocalEngine(1).run([tmp_path / name for name in ("at_fault", *commands)], command, record)
    ends = record.ends()
    assert ends["at_fault"] == (1, "cannot start: config.py is broken")
    assert ends["no_program"] == (127, "cannot start /nowhere/python: No such file or directory")
    assert ends["no_folder"][0] == 1 and str(tmp_path / "no_folder" / "log.txt") in ends["no_folder"][1]
    assert ends["good"] == (0, "")


def test_the_log_of_an_earlier_attempt_is_kept_but_not_quoted(run):
    run({"cell": "echo 'declouds: first'; exit 2"})
    record, folder = run({"cell": "echo second; exit 1"})
    assert record.ends()["cell"] == (1, "second")
    assert said(folder / "cell") == ["declouds: first", "second"]


def test_nothing_that_a_cell_left_in_the_background_goes_on(run):
    record, folder = run({"cell": "sleep 60 & echo $!"})
    assert record.ends() == {"cell": (0, "")}
    wait_for(lambda: not alive(int(said(folder / "cell")[0])))


SHARE = "echo ${CUDA_VISIBLE_DEVICES-unset} $OMP_NUM_THREADS; sleep 0.3"


@pytest.fixture
def nvidia_smi(tmp_path, monkeypatch):
    """Puts a program in the place of nvidia-smi that prints what is given."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def put(text, code=0):
        (tmp_path / "bin").mkdir()
        program = tmp_path / "bin" / "nvidia-smi"
        program.write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\nexit {code}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")

    return put


def test_cells_share_the_gpus_and_the_cores(run, nvidia_smi, monkeypatch):
    nvidia_smi("GPU 0: NVIDIA H100 (UUID: GPU-aa-1)\nGPU 1: NVIDIA H100 (UUID: GPU-bb-2)")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(local, "core_count", lambda: 8)
    _, folder = run({f"cell{i}": SHARE for i in range(5)}, jobs=3)
    found = [said(folder / f"cell{i}")[0].split() for i in range(5)]
    assert {cores for _, cores in found} == {"2"}
    assert [gpu for gpu, _ in found[:3]] == ["GPU-aa-1", "GPU-bb-2", "GPU-aa-1"]
    assert {gpu for gpu, _ in found[3:]} <= {"GPU-aa-1", "GPU-bb-2"}


def test_fewer_cells_than_jobs_have_more_each(run, nvidia_smi, monkeypatch):
    nvidia_smi("No devices found.", code=6)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(local, "core_count", lambda: 8)
    _, folder = run({"one": SHARE, "two": SHARE}, jobs=8)
    assert said(folder / "one") == said(folder / "two") == ["unset 4"]


def test_what_the_user_set_is_respected(run, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-x")
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    _, folder = run({"one": SHARE, "two": SHARE})
    assert said(folder / "one") == ["3 5"] and said(folder / "two") == ["GPU-x 5"]


@pytest.mark.parametrize(("given", "found"), [("", []), ("-1", []), ("0,-1,2", ["0"]), ("1, 0", ["1", "0"])])
def test_gpus_that_are_given(given, found, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    assert local.visible_gpus() == found


def test_parts_of_a_divided_gpu_count_as_gpus(nvidia_smi):
    nvidia_smi(
        "GPU 0: NVIDIA A100 (UUID: GPU-aa)\n"
        "  MIG 1g.5gb Device 0: (UUID: MIG-1)\n  MIG 1g.5gb Device 1: (UUID: MIG-2)\n"
        "GPU 1: NVIDIA A100 (UUID: GPU-bb)"
    )
    assert local.visible_gpus() == ["MIG-1", "MIG-2", "GPU-bb"]


@linux
def test_a_killed_sweep_leaves_no_process(sweep):
    process, pids = sweep("", "", "")
    process.kill()
    process.wait()
    # The cells themselves: what they started has nobody left to end it, and must see for itself.
    wait_for(lambda: not any(alive(pid) for pid in pids[1::2]))
    for pid in pids[0::2]:
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, -2), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_an_interrupted_sweep_asks_its_cells_to_end(sweep, tmp_path, number, code):
    process, pids = sweep("trap 'echo asked >asked; exit 3' TERM", "", "")
    process.send_signal(number)
    assert process.communicate(timeout=300)[0] == "" and process.returncode == code
    assert (tmp_path / "cell0" / "asked").exists()
    wait_for(lambda: not any(alive(pid) for pid in pids))
    assert not (tmp_path / "cell2" / "log.txt").exists()


def test_a_second_ctrl_c_ends_stubborn_cells_at_once(sweep):
    process, pids = sweep("trap '' TERM", "trap '' TERM")
    process.send_signal(signal.SIGINT)
    time.sleep(1)
    assert process.poll() is None and all(alive(pid) for pid in pids)
    process.send_signal(signal.SIGINT)
    process.wait(timeout=180)
    assert not any(alive(pid) for pid in pids[1::2])
    wait_for(lambda: not any(alive(pid) for pid in pids))


def test_no_jobs_is_refused():
    with pytest.raises(UserError, match="at least one"):
        LocalEngine(0)
