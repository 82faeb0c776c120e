"""run.json: what it tells of runs that end well, badly, or not at all."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config

import declouds
from declouds.cli import main
from declouds.digests import file_digest
from declouds.errors import UserError
from declouds.runs import cost
from declouds.runs import recorder as run_record
from declouds.runs.cost import Counter, EnergyMeter, NoCounterError, cpu_counters, gpu_counters
from declouds.runs.machine import code_version
from declouds.runs.process_identity import is_running, this_process
from declouds.runs.record import read_run_file, status_of
from declouds.runs.recorder import RunRecord
from declouds.training.coarse_to_fine import CoarseToFine

ABOUT = dict(config_file="tiny.py", config=dict(model=dict(type="OnePass")), seed=3, data={}, given={})


def stage(name="reference", number=0):
    return SimpleNamespace(
        number=number, stage=SimpleNamespace(name=name, train=("reference",), iterations=4, batch_size=2)
    )


def record(folder, *stages):
    return RunRecord(folder, ABOUT, stages or [stage()], "none")


def written(folder):
    return json.loads((folder / "run.json").read_text())


def train(config_path, work_dir, resume=False, stages=None):
    return CoarseToFine(Config.fromfile(config_path), work_dir, stages=stages).run(resume)


def wait_for(path, process):
    deadline = time.time() + 300
    while not path.exists():
        assert process.poll() is None and time.time() < deadline, process.stdout.read()
        time.sleep(0.005)


def test_a_finished_run_tells_its_whole_story(tiny_config, tmp_path):
    target = train(tiny_config(), tmp_path / "run", stages=tmp_path / "store")
    story = read_run_file(tmp_path / "run")
    assert (story["status"], story["error"], story["seed"]) == ("finished", None, 3)
    assert story["config"]["model"]["fusion"]["type"] == "WeightAllocation" and "_size" not in story["config"]
    assert story["config_file"] == str(tiny_config())
    assert story["data"] == declouds.load_model(target).record["splits"]
    assert story["weights"] == dict(file="model.safetensors", sha256=file_digest(target))
    assert [(s["name"], s["iterations"], s["samples"]) for s in story["stages"]] == [
        ("reference", 4, 8),
        ("coarse", 6, 24),
        ("fusion", 3, 6),
        ("fine", 5, 10),
    ]
    assert all(s["status"] == "finished" and s["seconds"] > 0 for s in story["stages"])
    assert [(tmp_path / "run" / s["trained_in"] / "finished.pth").exists() for s in story["stages"]] == [True] * 4
    (session,) = story["sessions"]
    assert session["versions"]["torch"] == torch.__version__.partition("+")[0]
    assert session["code"]["declouds"] == declouds.__version__ and session["threads"] == 1
    assert len(session["devices"]) == session["processes"] == 1
    assert story["seconds"] == session["seconds"] > sum(s["seconds"] for s in story["stages"])
    assert story["peak_memory"] > 50 * 2**20
    assert (story["energy"]["joules"] is None) == bool(story["energy"]["reason"])
    assert datetime.fromisoformat(story["started"]) <= datetime.fromisoformat(story["ended"])

    # A second run takes all stages from the store, and says from where.
    train(tiny_config(), tmp_path / "second", stages=tmp_path / "store")
    shared = read_run_file(tmp_path / "second")["stages"]
    assert [Path(s["trained_in"]).resolve() for s in shared] == [
        (tmp_path / "run" / s["trained_in"]).resolve() for s in story["stages"]
    ]
    assert [s["seconds"] for s in shared] == [0.0] * 4


def test_scores_tell_what_they_are_of_and_what_they_cost(tiny_config, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("declouds.cli.COMMANDS", ("test", "runs"))
    monkeypatch.setattr("declouds.evaluation.lpips_net.load_lpips", lambda weights: None)
    target = train(tiny_config(), tmp_path / "run")
    main(["test", str(tiny_config()), str(target), "--out", str(tmp_path / "scores"), "--device", "cpu"])
    about = json.loads((tmp_path / "scores" / "results.json").read_text())["about"]
    assert about["weights"]["sha256"] == read_run_file(tmp_path / "run")["weights"]["sha256"]
    assert about["seconds"] > 0 and about["peak_memory"] > 50 * 2**20 and about["energy"].keys() >= {"joules", "reason"}
    assert about["device"] == "cpu" and len(about["devices"]) == 1 and about["threads"] == 1
    assert about["versions"]["torch"] == torch.__version__.partition("+")[0] and about["code"]["commit"] != ""
    capsys.readouterr()
    main(["runs", str(tmp_path), "--columns", "kind", "status", "official.psnr", "--json"])
    run, scores = json.loads(capsys.readouterr().out)
    assert (run["status"], scores["status"]) == ("finished", "measured")
    assert run["official.psnr"] == scores["official.psnr"] > 5


def test_a_killed_run_reads_as_stopped_and_resumed_sums_its_sessions(tiny_config, train_process, tmp_path):
    work_dir = tmp_path / "killed"
    process = train_process(tiny_config(), "--work-dir", work_dir)
    wait_for(work_dir / "1_coarse" / "iter_2.pth", process)
    os.killpg(process.pid, signal.SIGSTOP)  # else it may end before the next lines do
    assert status_of(read_run_file(work_dir)) == "running"
    with pytest.raises(UserError, match=f"is being trained by process {process.pid}: wait for it"), record(work_dir):
        raise AssertionError("not reached")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    killed = read_run_file(work_dir)
    assert (killed["status"], status_of(killed)) == ("running", "stopped")
    assert [s["status"] for s in killed["stages"]] == ["finished", "training", "waiting", "waiting"]

    train(tiny_config(), work_dir, resume=True)
    resumed = read_run_file(work_dir)
    first, second = resumed["sessions"]
    assert (first["status"], second["status"], resumed["status"]) == ("stopped", "finished", "finished")
    assert first["seconds"] == killed["seconds"] > 0 and "tools/train.py" in first["command"]
    assert resumed["seconds"] == pytest.approx(first["seconds"] + second["seconds"], abs=0.002)
    assert resumed["stages"][0] == killed["stages"][0]
    assert resumed["started"] == killed["started"]


def test_a_run_that_is_asked_to_end_says_so(tiny_config, train_process, tmp_path):
    process = train_process(tiny_config(workers=1), "--work-dir", tmp_path / "run")
    wait_for(tmp_path / "run" / "0_reference" / "iter_2.pth", process)
    process.terminate()
    output = process.communicate(timeout=300)[0]
    assert process.returncode == 128 + signal.SIGTERM
    assert output.rstrip().endswith("declouds: stopped by SIGTERM: continue with --resume")
    assert "StoppedError" not in output
    story = read_run_file(tmp_path / "run")
    assert (story["status"], story["error"]) == ("interrupted", "SIGTERM")
    assert story["ended"] is not None


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (KeyboardInterrupt(), "interrupted", "from the keyboard"),
        (UserError("the loss is not finite"), "failed", "the loss is not finite"),
        (RuntimeError("CUDA error\nand much more"), "failed", "RuntimeError: CUDA error"),
    ],
)
def test_what_ends_a_run_is_recorded_in_a_line_and_passed_on(tmp_path, error, status, line):
    with pytest.raises(type(error)), record(tmp_path) as story, story.training("reference"):
        raise error
    story = read_run_file(tmp_path)
    assert (story["status"], story["error"]) == (status, line)
    assert (story["sessions"][0]["status"], story["sessions"][0]["error"]) == (status, line)
    assert story["stages"][0]["status"] == "training"


def test_a_diverged_run_is_recorded_as_failed(tiny_config, tmp_path):
    config = tiny_config(extra="stages = [dict(stages[0], lr=1e30, iterations=30), *stages[1:]]\n")
    with pytest.raises(UserError):
        train(config, tmp_path / "run")
    story = read_run_file(tmp_path / "run")
    assert story["status"] == "failed" and story["error"].startswith("non-finite loss at iteration")


def test_figures_are_kept_up_to_date_between_stages(tmp_path, monkeypatch):
    monkeypatch.setattr(cost, "INTERVAL", 0.01)
    with record(tmp_path) as story, story.training("reference"):
        deadline = time.time() + 180
        while written(tmp_path)["stages"][0]["seconds"] < 0.1 and time.time() < deadline:
            time.sleep(0.01)
        found = written(tmp_path)
    assert found["stages"][0]["seconds"] >= 0.1 and found["stages"][0]["status"] == "training"
    assert found["seconds"] >= found["stages"][0]["seconds"]


def test_time_of_a_stage_is_summed_over_sessions(tmp_path):
    for _ in range(2):
        with record(tmp_path) as story, story.training("reference"):
            time.sleep(0.1)
    assert 0.2 <= written(tmp_path)["stages"][0]["seconds"] < 2
    assert len(written(tmp_path)["sessions"]) == 2


def test_a_full_disk_stops_the_start_but_not_the_training(tmp_path, monkeypatch, capsys):
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    whole = run_record.replacing

    def failing(*_, **__):
        raise full

    monkeypatch.setattr(run_record, "replacing", failing)
    with pytest.raises(UserError, match=r"run\.json cannot be written .*No space left.*: make room"), record(tmp_path):
        raise AssertionError("not reached")
    assert not list(tmp_path.iterdir())

    monkeypatch.setattr(run_record, "replacing", whole)
    with record(tmp_path, stage(), stage("coarse", 1)) as story:
        monkeypatch.setattr(run_record, "replacing", failing)
        story.finish_stage("reference")
        story.finish_stage("coarse")
        monkeypatch.setattr(run_record, "replacing", whole)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert lines[0].endswith("No space left on device): training continues") and "is written again" in lines[1]
    assert [s["status"] for s in written(tmp_path)["stages"]] == ["finished", "finished"]


def test_only_the_main_process_writes(tmp_path, monkeypatch):
    monkeypatch.setattr(run_record, "is_main_process", lambda: False)
    with record(tmp_path) as story, story.training("reference"):
        story.finish_stage("reference")
    assert not list(tmp_path.iterdir())


def test_the_record_of_a_resumed_run_must_be_readable(tmp_path):
    for content, message in (
        ('{"format": 1, "sta', r"run\.json is broken, maybe half-written .*: delete it"),
        ('{"format": 7}', r"by another version of declouds \(format 7, this one reads 1\)"),
        ('{"name": "npm"}', r"is not a record of a declouds run"),
        ('{"format": 1, "stages": []}', r"not a complete record .*it lacks status, error"),
    ):
        (tmp_path / "run.json").write_text(content)
        with pytest.raises(UserError, match=message), record(tmp_path):
            raise AssertionError("not reached")
        assert (tmp_path / "run.json").read_text() == content


def test_a_process_is_told_from_a_later_one_of_its_number():
    ours = this_process()
    assert is_running(ours) is True
    assert is_running(ours | dict(started=ours["started"] - 1)) is False
    assert is_running(ours | dict(boot="another")) is None
    gone = subprocess.Popen([sys.executable, "-c", ""])
    identity = ours | dict(pid=gone.pid)
    gone.wait()
    assert is_running(identity) is False


def test_a_run_on_another_machine_runs_while_it_writes():
    now = datetime(2026, 11, 22, 12, tzinfo=UTC)
    elsewhere = dict(
        status="running", sessions=[dict(process=this_process() | dict(host="elsewhere"))], updated=now.isoformat()
    )
    assert status_of(elsewhere, now + timedelta(minutes=1)) == "running"
    assert status_of(elsewhere, now + timedelta(minutes=10)) == "stopped"


@pytest.fixture
def powercap(tmp_path):
    """Two processors, one with two parts that it counts itself, and a counter of the whole machine."""
    for zone, name in (("0", "package-0"), ("0:0", "core"), ("1", "package-1"), ("2", "psys")):
        folder = tmp_path / f"intel-rapl:{zone}"
        folder.mkdir()
        for file, text in (("name", name), ("energy_uj", "5000000"), ("max_energy_range_uj", "262000000")):
            (folder / file).write_text(f"{text}\n")
    return tmp_path


def test_energy_of_processors_is_summed_and_survives_a_counter_that_starts_again(powercap, monkeypatch):
    monkeypatch.setattr("declouds.runs.cost.counters_of", lambda device: cpu_counters(powercap))
    energy = EnergyMeter(torch.device("cpu"))
    assert energy.update() == dict(joules=0.0, of=["RAPL package-0", "RAPL package-1"], reason=None)
    (powercap / "intel-rapl:0" / "energy_uj").write_text("15000000")
    (powercap / "intel-rapl:1" / "energy_uj").write_text("2000000")  # from 5 J over 262 J and 0 to 2 J
    assert energy.update()["joules"] == 10 + 259
    shutil.rmtree(powercap / "intel-rapl:1")
    assert energy.update()["joules"] is None and "energy_uj cannot be read" in energy.update()["reason"]


def test_a_device_that_does_not_tell_its_energy_is_said_to(powercap, tmp_path):
    with pytest.raises(NoCounterError, match=r"no counters of the processor's energy in .*absent"):
        cpu_counters(tmp_path / "absent")
    (powercap / "intel-rapl:0" / "energy_uj").unlink()
    with pytest.raises(NoCounterError, match=r"energy_uj cannot be read \(No such file"):
        [counter.read() for counter in cpu_counters(powercap)]
    assert EnergyMeter(torch.device("meta")).update() == dict(
        joules=None, of=[], reason="no counter of the energy of meta is known"
    )


class FakeNVML:
    """Counts 1000 J more at each reading; handles are found by UUID."""

    def __init__(self, supported=True):
        self.millijoules, self.supported, self.asked = 0, supported, []

    def nvmlInit_v2(self):
        return 0

    def nvmlDeviceGetHandleByUUID(self, uuid, handle):
        self.asked.append(uuid)
        handle._obj.value = 42
        return 0

    def nvmlDeviceGetTotalEnergyConsumption(self, handle, reading):
        assert handle.value == 42
        self.millijoules += 1_000_000
        reading._obj.value = self.millijoules
        return 0 if self.supported else 3


def test_energy_of_a_gpu_is_that_of_its_uuid(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "H100")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid="12ab"))
    nvml = FakeNVML()
    (counter,) = gpu_counters(torch.device("cuda"), nvml)
    assert isinstance(counter, Counter) and counter.name == "NVML H100" and nvml.asked == [b"GPU-12ab"]
    assert [counter.read(), counter.read()] == [1000.0, 2000.0]
    (counter,) = gpu_counters(torch.device("cuda"), FakeNVML(supported=False))
    with pytest.raises(NoCounterError, match=r"H100 \(nvmlDeviceGetTotalEnergyConsumption: 3\)"):
        counter.read()
    with pytest.raises(NoCounterError, match=r"nvmlInit_v2: missing"):
        gpu_counters(torch.device("cuda"), object())


def test_the_version_of_the_code_is_that_of_its_checkout(tmp_path):
    root = tmp_path / "checkout"
    (root / "declouds").mkdir(parents=True)
    (root / "declouds" / "a.py").write_text("")

    def git(*arguments):
        identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        return subprocess.run(["git", "-C", root, *identity, *arguments], check=True, capture_output=True, text=True)

    unknown = dict(declouds=declouds.__version__, commit=None, changed=None)
    assert code_version(root) == unknown
    git("init")
    git("add", ".")
    git("commit", "-m", "a")
    commit = git("rev-parse", "HEAD").stdout.strip()
    assert code_version(root) == unknown | dict(commit=commit, changed=False)
    (root / "declouds" / "a.py").write_text("a = 1\n")
    assert code_version(root) == unknown | dict(commit=commit, changed=True)
    (root / "venv").mkdir()
    assert code_version(root / "venv") == unknown  # installed within a checkout of something else
