import _thread
import importlib.util
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from declouds.errors import UserError
from declouds.experiments.engines import ray_tasks
from declouds.experiments.engines.devices import Share, fitting_share
from declouds.experiments.engines.ray_engine import RayEngine

SMALL = {"object_store_memory": 80 * 2**20}

# Runs a sweep of the folders given, two at a time; what a cell does is in its file `do`.
SWEEP = """
import sys
from pathlib import Path
from declouds.experiments.engines.ray_engine import RayEngine

class Report:
    def started(self, folder): pass
    def ended(self, folder, code, why): print("ended", folder.name, code, why, flush=True)
    def tick(self): pass

RayEngine(2).run([Path(name) for name in sys.argv[1:]], lambda folder: ["sh", str(folder / "do")], Report())
"""


@pytest.fixture(scope="module")
def ray():
    # Not by `importorskip`: the engine sets what Ray reads when it is imported.
    if importlib.util.find_spec("ray") is None:
        pytest.skip("the extra `ray` is not installed")
    return RayEngine(1).ray


@pytest.fixture(scope="module")
def cluster(ray):
    """One node with one core, to which tests add others."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False, **SMALL})
    yield cluster
    cluster.shutdown()


@pytest.fixture
def cells(tmp_path):
    """Makes cells that do what is given, name -> shell command run in the cell's folder."""

    def cells(commands):
        for name, command in commands.items():
            (tmp_path / name).mkdir()
            (tmp_path / name / "do").write_text(f"cd {tmp_path / name}\n{command}\n")
        return [tmp_path / name for name in commands]

    return cells


def command(folder):
    return ["sh", str(folder / "do")]


class Record:
    """Notes what an engine tells, and does something once, when the time for it has come."""

    def __init__(self, when=lambda: False, act=lambda: None):
        self.started_in_order, self.ends, self.when, self.act, self.acted = [], {}, when, act, False

    def started(self, folder):
        self.started_in_order.append(folder.name)

    def ended(self, folder, code, why):
        assert folder.name not in self.ends
        self.ends[folder.name] = (code, why)

    def tick(self):
        if not self.acted and self.when():
            self.act()
            self.acted = True


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
        time.sleep(0.1)


# A cell with three steps and a checkpoint after each; it notes on which node each was done, and where it began.
STEPS = """
test -e step || echo 0 >step
echo $(cat step) $RAY_RAYLET_PID $$ >>begun
while test $(cat step) -lt 3; do
    sleep 0.7
    echo $(($(cat step) + 1)) >.step; mv .step step
done
"""


def begun(folder):
    """Where a cell began each time: step, node, process."""
    path = folder / "begun"
    return [[int(word) for word in line.split()] for line in path.read_text().splitlines()] if path.exists() else []


def raylet(node):
    return node.all_processes["raylet"][0].process.pid


def test_a_node_lost_in_the_middle_loses_no_cell(cluster, cells, capfd):
    node = cluster.add_node(num_cpus=1, **SMALL)
    lost = raylet(node)
    folders = cells({f"cell{i}": STEPS for i in range(4)} | {"broken": "echo x >>ran; echo 'declouds: bad'; exit 2"})

    def reached():
        """A cell on the node to be lost has a checkpoint."""
        return any(
            times and times[-1][1] == lost and (folder / "step").read_text().strip() == "1"
            for folder in folders[:4]
            for times in [begun(folder)]
        )

    capfd.readouterr()
    record = Record(reached, lambda: cluster.remove_node(node, allow_graceful=False))
    RayEngine(2, cluster.address).run(folders, command, record)

    assert record.acted
    assert record.started_in_order == [folder.name for folder in folders]
    assert record.ends == {f"cell{i}": (0, "") for i in range(4)} | {"broken": (2, "bad")}
    assert (folders[4] / "ran").read_text() == "x\n"  # what fails by itself is not tried again
    assert all((folder / "step").read_text() == "3\n" for folder in folders[:4])
    again = [times for folder in folders[:4] if len(times := begun(folder)) > 1]
    assert len(again) == 1
    (_, first_node, first_pid), (step, second_node, _) = again[0]
    assert first_node == lost and second_node != lost and not alive(first_pid)
    assert step >= 1, "it did not resume"
    assert capfd.readouterr() == ("", "")


def test_cells_shrink_to_the_nodes_that_are_left(cluster, cells):
    node = cluster.add_node(num_cpus=3, **SMALL)
    folders = cells({"cell": "echo $OMP_NUM_THREADS >>threads\ntest -e seen || { echo >seen; sleep 60; }"})
    record = Record((folders[0] / "seen").exists, lambda: cluster.remove_node(node))
    os.environ.pop("OMP_NUM_THREADS", None)
    RayEngine(1, cluster.address).run(folders, command, record)
    assert record.ends == {"cell": (0, "")}
    assert (folders[0] / "threads").read_text().split() == ["3", "1"]


def test_a_node_that_does_not_see_the_folder_says_so(cluster, cells, tmp_path):
    folders = cells({"hidden": "true", "other": "true", "good": "true"})

    def hide(folder):
        if folder.name == "hidden":
            folder.rename(tmp_path / "elsewhere")
        if folder.name == "other":  # a folder of the same name, with the log of another sweep
            (folder / "log.txt").write_text("=== 2020-01-01 00:00:00 handed to Ray (0123456789ab)\n")
        return command(folder)

    record = Record()
    RayEngine(1, cluster.address).run(folders, hide, record)
    assert record.ends.pop("good") == (0, "")
    for name, (code, why) in record.ends.items():
        assert code == 1 and f"does not see {tmp_path / name} " in why and "all nodes share" in why


def test_a_sweep_on_this_machine_is_silent_and_leaves_nothing(ray, cells):
    folders = cells(
        {
            "good": "echo out; echo err >&2",
            "killed": "kill -9 $$",
            "long": "trap 'echo asked >asked; exit' TERM; sleep 60 & echo $! $$ >pids; wait",
            "longer": "sleep 60 & echo $! $$ >pids; wait",
        }
    )
    process = subprocess.Popen(
        [sys.executable, "-c", SWEEP, *folders], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        pids = [folder / "pids" for folder in folders[2:]]
        wait_for(lambda: all(path.exists() and len(path.read_text().split()) == 2 for path in pids))
        raylet = int(re.search(r"RAY_RAYLET_PID=(\d+)", environment(pids[0].read_text().split()[1]))[1])
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=120)
    finally:
        process.kill()
    assert sorted(out.splitlines()) == ["ended good 0 ", "ended killed -9 killed by signal 9, perhaps out of memory"]
    assert err == "" and process.returncode == 143
    assert (folders[2] / "asked").exists()
    assert (folders[0] / "log.txt").read_text().splitlines()[-2:] == ["out", "err"]
    processes = [int(pid) for path in pids for pid in path.read_text().split()]
    wait_for(lambda: not any(alive(pid) for pid in [raylet, *processes]), 60)


def test_a_cell_that_is_cancelled_while_it_is_being_started_is_asked_to_end(cells, monkeypatch):
    (folder,) = cells({"cell": "trap 'echo asked >asked; exit' TERM; sleep 60 & echo $! >pid; wait"})

    class Slow(ray_tasks.CellProcess):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            wait_for((folder / "pid").exists)
            _thread.interrupt_main()  # as Ray cancels a task

    monkeypatch.setattr(ray_tasks, "CellProcess", Slow)
    (folder / "log.txt").write_text("token\n")
    with pytest.raises(KeyboardInterrupt):
        ray_tasks.run_cell(folder, "token", command(folder), {}, folder)
    assert (folder / "asked").exists()


def environment(pid):
    with open(f"/proc/{pid}/environ") as file:
        return file.read()


def test_a_killed_sweep_leaves_no_process(ray, cells):
    folders = cells({"cell": "echo $$ >pid; exec sleep 60"})
    process = subprocess.Popen([sys.executable, "-c", SWEEP, *folders])
    try:
        wait_for(lambda: (folders[0] / "pid").exists() and (folders[0] / "pid").read_text().strip())
    finally:
        process.kill()
        process.wait()
    wait_for(lambda: not alive(int((folders[0] / "pid").read_text())), 15)


def test_no_cluster_at_an_address(ray, cells):
    with pytest.raises(UserError, match=r"no Ray cluster at 127\.0\.0\.1:1: .*ray start"):
        RayEngine(1, "127.0.0.1:1").run(cells({"cell": "true"}), command, Record())


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=re.escape("pip install 'declouds[ray]'")):
        RayEngine(1)


@pytest.mark.parametrize(
    ("cpus", "jobs", "expected"),
    [
        ([8], 3, 2),
        ([8], 1, 8),
        ([4, 4], 1, 4),  # no more than a node has
        ([4, 4], 3, 2),
        ([6, 2], 2, 3),
        ([2, 0], 8, 1),  # more cells than cores: fewer at a time
    ],
)
def test_cores_of_a_cell(cpus, jobs, expected):
    assert fitting_share([{"CPU": count} for count in cpus], jobs, False) == Share(expected, 0)


@pytest.mark.parametrize(
    ("gpus", "jobs", "expected"),
    [
        ([4], 2, Share(8, 1)),
        ([2, 2], 4, Share(8, 1)),
        ([1], 2, Share(8, 0.5)),
        ([1], 3, Share(5, 0.3333)),
        ([0], 1, None),
    ],
)
def test_gpus_of_a_cell(gpus, jobs, expected):
    nodes = [{"CPU": 16.0, "GPU": float(count)} for count in gpus]
    assert fitting_share([*nodes, {"CPU": 64.0}], jobs, True) == expected


def test_a_cluster_without_cores_has_no_share():
    assert fitting_share([{}, {"CPU": 0.0}], 1, False) is None
