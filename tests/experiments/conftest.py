"""A sweep small enough for a test."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from declouds.cli import main

ROOT = Path(__file__).resolve().parents[2]

SWEEP = """
about = "Does the fusion matter?"
base = "tiny.py"
overrides = {"val": dict(images=1, panels=1, tile=24, overlap=8)}
axes = dict(
    fusion=dict(
        learned=dict(type="WeightAllocation", base=8, multipliers=(1, 2), blocks=1, attention_at=()),
        half=dict(type="FixedWeight", weight=0.5),
    ),
    eta=[0.0, 0.3],
)
exclude = [dict(fusion="half", eta="0.3")]
baseline = "fusion=learned,eta=0.3"
"""


@pytest.fixture
def sweep_file(tmp_path):
    """Return a function that writes a sweep file beside its tiny base config, and returns its path."""
    path = ROOT / "tests" / "training" / "conftest.py"
    spec = importlib.util.spec_from_file_location("tiny_run", path)
    tiny = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tiny)
    (tmp_path / "tiny.py").write_text(tiny.TINY.format(workers=0))

    def write(text=SWEEP, name="sweep.py"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


@pytest.fixture
def environment(monkeypatch):
    """What `declouds sweep` and its cells find in the environment."""
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for name in ("http_proxy", "https_proxy"):  # no network for LPIPS
        monkeypatch.setenv(name, "http://127.0.0.1:9")


@pytest.fixture
def sweep(environment, capfd):
    """Return a function that runs `declouds sweep` to its end and returns its exit code and all that it prints."""

    def run(*arguments):
        capfd.readouterr()
        code = 0
        try:
            main(["sweep", *map(str, arguments)])
        except SystemExit as stopped:
            code = stopped.code
        return code, "".join(capfd.readouterr())

    return run


@pytest.fixture
def sweep_process(environment):
    """Return a function that starts `declouds sweep` in a process of its own, which can be killed."""

    def start(*arguments):
        command = [sys.executable, "-m", "declouds", "sweep", *map(str, arguments)]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    return start
