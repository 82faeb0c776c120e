"""What a measuring process of `benchmark.py` does: build a model with random weights, warm up, run when asked."""

import math
import os
import platform
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from declouds.errors import UserError

TILE, OVERLAP = 256, 32  # what `declouds predict` does unless told otherwise


@dataclass(frozen=True)
class Job:
    """One measurement of one config: what a process of its own does."""

    kind: str
    config: Path
    size: int
    batch: int
    device: str
    threads: int | None
    precision: str
    folder: Path
    steps: int | None = None
    compile: bool = False
    processes: int = 1  # that do the same at once, with the threads shared out
    program: Path | None = None  # what is timed in place of declouds, see `benchmark.Program`

    @property
    def title(self) -> str:
        """What the table calls the measurement."""
        batch = "" if self.kind == "scene" else f", batch {self.batch}"
        processes = f", {self.processes} processes" if self.processes > 1 else ""
        return f"{self.kind} {self.size}x{self.size}{batch}, {self.precision}{processes}"

    @property
    def megapixels(self) -> float:
        """What one run of all processes works through."""
        return self.processes * (1 if self.kind == "scene" else self.batch) * self.size**2 / 1e6


def serve(connection: Connection, job: Job) -> None:
    """Prepare a job, warm up, and answer requests; this is what a measuring process does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process ends this one
    import torch

    try:
        work, about, device = prepare(job)
        before = resident_memory("VmRSS")
        began = time.perf_counter()
        for _ in range(1 if device.type == "cpu" else 3):
            timed(work, device)
        connection.send(("ready", about | dict(first=time.perf_counter() - began)))
        while (request := connection.recv()) != "end":
            connection.send((request, profile(work, device) if request == "profile" else timed(work, device)))
        on_gpu = device.type == "cuda"
        peak = torch.cuda.max_memory_allocated(device) if on_gpu else resident_memory("VmHWM")
        connection.send(("memory", dict(kind="allocated" if on_gpu else "resident", before=before, peak=peak)))
    except UserError as error:
        connection.send(("user error", str(error)))
    except torch.OutOfMemoryError as error:
        connection.send(("out of memory", str(error).splitlines()[0]))
    except EOFError:
        pass  # the main process is gone


def prepare(job: Job) -> tuple[Callable[[], object], dict[str, Any], Any]:
    """Build the model of a job; return what is to be timed, what is to be recorded, and the device."""
    import torch

    import declouds
    from declouds.hardware import keep_freed_memory, pick_device
    from declouds.inference import choose_precision, compile_parts, use_precision
    from declouds.models import build_model
    from declouds.training.config import load_config

    keep_freed_memory()  # as the commands do
    if job.threads is not None:
        torch.set_num_threads(job.threads)
    config = load_config(job.config)
    device = pick_device(job.device)
    torch.manual_seed(0)
    model = build_model(config.model).to(device).eval()
    precision = choose_precision(job.precision, device, safe=True)
    if job.steps is not None:
        model.set_steps(job.steps)
    if job.kind != "train":
        use_precision(model, precision)
    if job.compile:
        compile_parts(model)
    work = dict(train=training_step, sample=sampling, scene=scene)[job.kind](job, model, device)
    machine = dict(
        device=str(device),
        name=torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name(),
        cores=os.cpu_count(),
        threads=torch.get_num_threads(),
        torch=torch.__version__,
        python=platform.python_version(),
        declouds=declouds.__version__,
    )
    parts = {part: sum(p.numel() for p in getattr(model, part).parameters()) for part in model.existing_parts()}
    about = dict(machine=machine, model=dict(parameters=parts, sampler=config.model.get("sampler"), steps=model.steps))
    return work, about, device


def training_step(job: Job, model: Any, device: Any) -> Callable[[], object]:
    """Return one optimisation step: forward, backward, AdamW; everything but a reference beside it is trained."""
    import torch
    from mmengine.optim import build_optim_wrapper

    from declouds.training import runner  # noqa: F401 (registers the optimiser wrapper)

    learned = [part for part in model.existing_parts() if any(True for _ in getattr(model, part).parameters())]
    model.train_only([part for part in learned if part != "reference"] or learned)
    model.train()
    wrapper = "AutocastOptimWrapper" if job.precision == "bf16" else "StageOptimWrapper"
    optimizer = build_optim_wrapper(model, dict(type=wrapper, optimizer=dict(type="AdamW", lr=1e-5, fused=True)))
    batch = dict(
        cloudy=torch.rand(job.batch, model.in_bands, job.size, job.size) * 2 - 1,
        clear=torch.rand(job.batch, model.bands, job.size, job.size) * 2 - 1,
        name=[f"image {number}" for number in range(job.batch)],
    )
    return lambda: model.train_step(batch, optim_wrapper=optimizer)


def sampling(job: Job, model: Any, device: Any) -> Callable[[], object]:
    """Return one call of ``predict``: the reference once, and every step of the config's sampler."""
    import torch

    cloudy = torch.rand(job.batch, model.in_bands, job.size, job.size, device=device) * 2 - 1
    noise = torch.randn(job.batch, model.bands, job.size, job.size, device=device)
    return lambda: model.predict(cloudy, noise)


def scene(job: Job, model: Any, device: Any) -> Callable[[], object]:
    """Return the clearing of a GeoTIFF; the first call, for warming up, predicts one window alone."""
    import torch

    from declouds.scenes.api import remover_of
    from declouds.scenes.clear import clear_scene
    from declouds.scenes.options import SceneOptions

    source, cleared = job.folder / "scene.tif", job.folder / "cleared.tif"
    write_scene(source, model.in_bands, job.size, model.value_range)
    options = SceneOptions(tile=TILE, overlap=OVERLAP, overwrite=True)
    is_warm = False

    def work() -> None:
        nonlocal is_warm
        if is_warm:
            with remover_of(model, options) as remover:
                clear_scene(remover, source, cleared, options)
        else:
            side = min(TILE, job.size)
            images = (torch.zeros(1, bands, side, side, device=device) for bands in (model.in_bands, model.bands))
            with torch.inference_mode():
                model.predict(*images)
            is_warm = True

    return work


def write_scene(path: Path, bands: int, size: int, value_range: Any) -> None:
    """Write a GeoTIFF of patches of 16x16 pixels in the model's units, a few rows at a time."""
    import numpy as np
    import rasterio
    from rasterio.transform import Affine

    path.parent.mkdir(parents=True, exist_ok=True)
    low, high = value_range.low, value_range.high
    dtype = "uint8" if (low, high) == (0, 255) else "float32"
    grid = dict(crs="EPSG:32632", transform=Affine(10, 0, 600000, 0, -10, 5400000))
    profile = dict(driver="GTiff", width=size, height=size, count=bands, dtype=dtype, compress="deflate", **grid)
    rng = np.random.default_rng(0)
    with rasterio.open(path, "w", **profile) as file:
        for row in range(0, size, 256):
            rows = min(256, size - row)
            patches = rng.uniform(low, high, (bands, math.ceil(rows / 16), math.ceil(size / 16)))
            values = patches.repeat(16, axis=1).repeat(16, axis=2)[:, :rows, :size].astype(dtype)
            file.write(values, window=rasterio.windows.Window(0, row, size, rows))


def timed(work: Callable[[], object], device: Any) -> float:
    """Return the seconds that ``work`` takes, with all that it has left to the GPU."""
    import torch

    begin = time.perf_counter()
    work()
    if device.type != "cpu":
        torch.accelerator.synchronize()
    return time.perf_counter() - begin


def profile(work: Callable[[], object], device: Any) -> list[tuple[str, float, int]]:
    """Return the operators that take most of the time: name, share of the time, calls."""
    import torch

    with torch.profiler.profile() as profiler:
        timed(work, device)
    key = "self_cpu_time_total" if device.type == "cpu" else "self_device_time_total"
    operators = sorted(profiler.key_averages(), key=lambda operator: -getattr(operator, key))
    total = sum(getattr(operator, key) for operator in operators)
    return [(operator.key, getattr(operator, key) / total, operator.count) for operator in operators[:12]]


def resident_memory(key: str) -> int | None:
    """Return resident memory in bytes, ``VmRSS`` now or ``VmHWM`` at the peak; None where the system does not tell.

    `getrusage` would do elsewhere, but on Linux its peak includes that of the process which started this one.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:")), None)


def cpu_name() -> str:
    """Return the processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
