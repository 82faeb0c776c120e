"""A sweep small enough for a test."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

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
def sweep_process():
    """Return a function that starts `declouds sweep` as a user would."""

    def start(*arguments):
        environment = dict(os.environ, PYTHONPATH=f"{ROOT}:{os.environ.get('PYTHONPATH', '')}", OMP_NUM_THREADS="1")
        environment |= {name: "http://127.0.0.1:9" for name in ("http_proxy", "https_proxy")}  # no network for LPIPS
        command = [sys.executable, "-m", "declouds", "sweep", *map(str, arguments)]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    return start
