"""A run small enough for a test."""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]

TINY = """
seed = 3
num_workers = {workers}
ema = dict(decay=0.9)
log_interval = 1
checkpoint_interval = 2
val = dict(images=3, panels=1, tile=24, overlap=8)
datamodule = dict(type="Simulated", size=32, train=6, val=3, test=3)
_size = dict(base=8, multipliers=(1, 2), blocks=1, attention_at=())
model = dict(
    type="DiffusionEnhancement",
    denoiser=dict(type="ConditionalUNet", dropout=0.1, predicts="clear", **_size),
    reference=dict(type="GainOffsetUNet", **_size),
    fusion=dict(type="WeightAllocation", **_size),
    noise_schedule=dict(type="LinearSchedule"),
    sampler=dict(type="DDIM", steps=2),
)
reference_weights = "train"
_flips = ["RandomHorizontalFlip", "RandomVerticalFlip"]
stages = [
    dict(name="reference", train=["reference"], iterations=4, batch_size=2, lr=1e-3, crop=16, augmentations=_flips),
    dict(name="coarse", train=["denoiser"], iterations=6, batch_size=4, lr=1e-3, reduce=2, crop=16, val_interval=3),
    dict(name="fusion", train=["fusion"], iterations=3, batch_size=2, lr=1e-3, crop=16, start_from="raw"),
    dict(name="fine", train=["denoiser", "fusion"], iterations=5, batch_size=2, lr=1e-3),
]
"""


@pytest.fixture(autouse=True)
def one_thread():
    """Sums in another order round otherwise: runs that are compared bit by bit use as many threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def write_tiny_config():
    """Return a function that writes the tiny config, with some workers, into a folder."""

    def write(folder, workers=0, extra=""):
        path = folder / f"tiny_{workers}.py"
        path.write_text(TINY.format(workers=workers) + extra)
        return path

    return write


@pytest.fixture
def tiny_config(write_tiny_config, tmp_path):
    """Return a function that writes the tiny config, with some workers."""
    return partial(write_tiny_config, tmp_path)


@pytest.fixture
def train_process():
    """Return a function that starts `tools/train.py` as a user would."""

    def start(*arguments, launcher=()):
        command = [sys.executable, *launcher, str(ROOT / "tools" / "train.py"), *map(str, arguments)]
        environment = dict(os.environ, PYTHONPATH=str(ROOT), OMP_NUM_THREADS="1")
        return subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    return start


@pytest.fixture
def bf16_everywhere(monkeypatch):
    """Let the CPU of the test compute bfloat16, in software if need be."""
    monkeypatch.setattr("declouds.inference.has_bf16", lambda device: True)
