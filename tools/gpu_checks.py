"""Check declouds on a GPU, within minutes: `python tools/gpu_checks.py --out DIR [--sections parity=50 speed=120 ...]`.

Sections run in the order given, each within its own seconds; one that fails or runs out of time leaves the others
alone. Rows are written to DIR/checks.json as they come, and printed as a table at the end:

- parity: the official model's parts, sample and gradients on the device, in each precision, against float32 on the CPU;
- speed: matrix products, then forward, training step and sample in each precision, with throughput and memory;
- scenes: `declouds predict` on a GeoTIFF of 4 bands, uint16: seconds, memory, and how busy the GPU is;
- data: what the loader of the official coarse stage delivers;
- tests: those that use the first accelerator by themselves;
- compile: a sample and a training step by `torch.compile`, with the time of the first run.

`--device cpu --tiny` tries the script itself with a small model and small images.
"""

import argparse
import copy
import json
import math
import os
import signal
import statistics
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmark_jobs import Job, prepare, resident_memory, timed

from declouds.atomic_file import replacing
from declouds.cli import main as declouds
from declouds.inference import has_bf16, use_precision
from declouds.models import build_model
from declouds.training.config import load_config
from declouds.weights.file import save_weights

ROOT = Path(__file__).resolve().parents[1]
OFFICIAL, SMALL = (ROOT / "configs" / name for name in ("de_rice1.py", "small/de_rice1.py"))
SECTIONS = ("parity=60", "speed=120", "scenes=90", "data=30", "tests=75", "compile=120")
TESTS = ("tests/training/test_run.py", "tests/scenes/test_remove_clouds.py", "tests/evaluation/test_evaluate_model.py")


class OutOfTimeError(BaseException):
    """A section has used its seconds; a BaseException, so that nothing on the way catches it."""


class Checks:
    """The arguments, the device, and the rows so far."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.device, self.tiny, self.out = torch.device(args.device), args.tiny, args.out
        self.work = args.out / "work"
        self.work.mkdir(parents=True, exist_ok=True)
        self.config = SMALL if args.tiny else OFFICIAL
        self.precisions = ["fp32", "bf16"] if has_bf16(self.device) else ["fp32"]
        self.rows: list[dict[str, Any]] = []
        self.section, self.seconds = "", 0.0

    def row(self, what: str, **values: Any) -> None:
        """Write and print one result."""
        self.rows.append(dict(section=self.section, what=what, **values))
        with replacing(self.out / "checks.json") as temporary:
            temporary.write_text(json.dumps(dict(about=self.about(), rows=self.rows), indent=1, default=str))
        print(shown(self.rows[-1]), flush=True)

    def about(self) -> dict[str, Any]:
        """Return the machine and the software."""
        facts: dict[str, Any] = dict(torch=torch.__version__, python=sys.version.split()[0], cores=os.cpu_count())
        if self.device.type == "cuda":
            facts |= dict(gpu=torch.cuda.get_device_name(), cuda=torch.version.cuda)
            facts |= dict(cudnn=torch.backends.cudnn.version())
        return facts


def shown(row: dict[str, Any]) -> str:
    """Write a row on one line."""
    values = {key: value for key, value in row.items() if key not in ("section", "what")}
    rest = (f"{key}={value:.4g}" if isinstance(value, float) else f"{key}={value}" for key, value in values.items())
    return f"{row['section']:8} {row['what']:44} {' '.join(rest)}"


def model_of(config: Path, bands: int = 3) -> Any:
    """Build a model with random weights, layers that start at zero among them: zeros agree on any machine."""
    torch.manual_seed(0)
    units = {} if bands == 3 else dict(value_range=(0, 10000))
    model = build_model(load_config(config).model.to_dict() | dict(bands=bands) | units).eval()
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        if parameter.ndim > 1 and not parameter.any():
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.5 * parameter[0].numel() ** -0.5
    return model


def parity(checks: Checks) -> None:
    """Compare the same weights and inputs with float32 on the CPU."""
    size, batch = (32, 1) if checks.tiny else (128, 2)
    model = model_of(checks.config)
    noise, cloudy, clear, prior = torch.randn(batch, 3, size, size), *(torch.rand(3, batch, 3, size, size) * 2 - 1)
    t = torch.arange(batch) * 300 + 200

    def calls(model: Any, device: torch.device, trained: bool) -> Iterator[tuple[str, torch.Tensor]]:
        x, y, c, p, at = (value.to(device) for value in (noise, cloudy, clear, prior, t))
        with torch.no_grad():
            yield "reference", model.reference(y)
            yield "denoiser", model.denoiser(x, at, y)
            yield "fusion", model.fusion(c, p, x, at, y)
            yield "sample", model.predict(y, x)
        if trained:
            model.train_only(["denoiser"])
            model.losses_per_image(c, y, x, at, fuse=False)["denoise"].mean().backward()
            yield "gradient", torch.cat([parameter.grad.flatten() for parameter in model.denoiser.parameters()])

    expected = dict(calls(copy.deepcopy(model), torch.device("cpu"), True))
    for name in (*checks.precisions, *(["tf32"] if checks.device.type == "cuda" else [])):
        there = copy.deepcopy(model).to(checks.device)
        use_precision(there, "bf16" if name == "bf16" else "fp32")
        with tf32(name == "tf32"):
            for what, ours in calls(there, checks.device, name != "bf16"):
                error = ours.detach().float().cpu() - expected[what]
                values = dict(relative=float(error.norm() / expected[what].norm()), max=float(error.abs().max()))
                if what == "sample":
                    values["psnr"] = 20 * math.log10(2 / max(float(error.square().mean().sqrt()), 1e-12))
                checks.row(f"{what}, {name}", **values)


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Allow TF32 in convolutions and matrix products, or in neither."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def speed(checks: Checks) -> None:
    """Time matrix products, then training steps and samples, which `benchmark.py` times too."""
    side = 512 if checks.tiny else 8192
    for dtype in (torch.bfloat16, torch.float32):
        a, b = torch.randn(2, side, side, device=checks.device, dtype=dtype)
        seconds = median_seconds(checks, lambda a=a, b=b: a @ b)
        checks.row(f"matmul {side}, {str(dtype)[6:]}", ms=1000 * seconds, tflops=2 * side**3 / seconds / 1e12)
    for precision in checks.precisions:
        time_jobs(checks, precision, batches_of_one=not checks.tiny)


def compile_(checks: Checks) -> None:
    """Time what `speed` does, compiled."""
    time_jobs(checks, checks.precisions[-1], compiled=True)


def time_jobs(checks: Checks, precision: str, batches_of_one: bool = False, compiled: bool = False) -> None:
    """Time a training step and samples, which `benchmark.py` times too; ``first_s`` is the first run, warming up."""
    crop, some, big, few = (16, 2, 32, 1) if checks.tiny else (64, 64, 256, 8)
    for kind, size, batch in [("train", crop, some), ("sample", big, few), ("sample", big, 1)][: 2 + batches_of_one]:
        job = Job(kind, checks.config, size, batch, str(checks.device), None, precision, checks.work, compile=compiled)
        try:
            work, _, _ = prepare(job)
            if checks.device.type == "cuda":
                torch.cuda.reset_peak_memory_stats()
            first = timed(work, checks.device)
            seconds = median_seconds(checks, work)
            values = dict(ms=1000 * seconds, images_a_s=batch / seconds, gib=peak_memory(checks), first_s=first)
        except torch.OutOfMemoryError as error:
            values = dict(failed=str(error).splitlines()[0])
        checks.row(job.title + ", compiled" * compiled, **values)


def median_seconds(checks: Checks, work: Callable[[], object], most: int = 20, seconds: float = 2.0) -> float:
    """Return the median of some runs after a first one."""
    timed(work, checks.device)
    taken: list[float] = []
    while len(taken) < 2 or (len(taken) < most and sum(taken) < seconds):
        taken.append(timed(work, checks.device))
    return statistics.median(taken)


def peak_memory(checks: Checks) -> float:
    """Return the peak memory in GiB: allocated on a GPU, else resident."""
    if checks.device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**30
    return (resident_memory("VmHWM") or 0) / 2**30


def scenes(checks: Checks) -> None:
    """Clear a scene with `declouds predict`."""
    import rasterio

    side = 96 if checks.tiny else 4096
    pixels = np.random.default_rng(0).integers(1, 10000, (4, side // 16, side // 16), dtype=np.uint16)
    pixels = pixels.repeat(16, 1).repeat(16, 2)
    scene = checks.work / "scene.tif"
    with rasterio.open(scene, "w", "GTiff", side, side, 4, dtype="uint16") as file:
        file.write(pixels)
    for config, batches in [(SMALL, [[]])] if checks.tiny else [(SMALL, [[], [1]]), (OFFICIAL, [[]])]:
        weights = checks.work / f"{config.parent.name}.safetensors"
        model = model_of(config, bands=4)
        plain = load_config(config).model.to_dict() | dict(bands=4, value_range=(0, 10000))
        save_weights(weights, plain, model.state_dict(), {}, overwrite=True)
        for batch in batches:
            for precision in checks.precisions:
                if checks.device.type == "cuda":
                    torch.cuda.reset_peak_memory_stats()
                flags = ["--precision", precision, "--device", checks.device, "--overwrite"]
                flags += ["--batch-size", *batch] if batch else []
                output = checks.work / "clear.tif"
                began, utilisation = time.perf_counter(), Utilisation(checks.device)
                with utilisation:
                    declouds(["predict", *map(str, (scene, "-o", output, "--checkpoint", weights, *flags))])
                taken = time.perf_counter() - began
                values = dict(seconds=taken, mpx_a_s=side**2 / taken / 1e6, gib=peak_memory(checks))
                name = f"{'official' if config == OFFICIAL else 'small'}{', batch 1' if batch else ''}"
                checks.row(f"scene {side}, {name}, {precision}", **values, busy=utilisation.mean)


class Utilisation:
    """Reads, ten times a second, the share of time in which the GPU runs kernels."""

    def __init__(self, device: torch.device) -> None:
        import threading

        self.device, self.readings, self._over = device, [], threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        while self.device.type == "cuda" and not self._over.wait(0.1):
            self.readings.append(torch.cuda.utilization(self.device) / 100)

    def __enter__(self) -> "Utilisation":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    @property
    def mean(self) -> float:
        """The mean share; NaN without a GPU."""
        return statistics.mean(self.readings or [math.nan])


def data(checks: Checks) -> None:
    """Time the loader of the official coarse stage: pairs of 512x512, reduced by 8, patches of 64."""
    from declouds.datamodules.paired import PairedFolder
    from declouds.image_io import write_image
    from declouds.training.training_data import StageBatches, TrainingPatches, train_loader

    folder, random = checks.work / "pairs", np.random.default_rng(0)
    names = [str(number) for number in range(16)]
    for part in ("cloud", "label"):
        (folder / part).mkdir(parents=True, exist_ok=True)
        for name in names:
            image = random.integers(0, 255, (3, 64, 64), dtype=np.uint8).repeat(8, 1).repeat(8, 2)
            write_image(folder / part / f"{name}.png", image, overwrite=True)
    (folder / "split.json").write_text(json.dumps(dict(train=names[:12], test=names[12:])))
    pairs = PairedFolder(str(folder), val=None)
    pairs.setup("fit")
    for workers in (0, 1) if checks.tiny else (2, 8, 14):
        patches = TrainingPatches(pairs.train_dataset, 4, 64)
        batches = iter(train_loader(patches, StageBatches(8 if checks.tiny else 64, 10**6), workers))
        for _ in range(workers + 1):
            next(batches)  # each worker has decoded its images by then, more or less
        began, count = time.perf_counter(), 0
        while time.perf_counter() - began < (1 if checks.tiny else 5):
            count += len(next(batches)["name"])
        checks.row(f"loader, {workers} workers", images_a_s=count / (time.perf_counter() - began))
        del batches


def tests(checks: Checks) -> None:
    """Run tests that use the first accelerator by themselves."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "not two_processes"]
    done = subprocess.run(
        [*command, *(TESTS[2:] if checks.tiny else TESTS)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=checks.seconds,
        check=False,
    )
    (checks.out / "pytest.txt").write_text(done.stdout + done.stderr)
    failed = [line.split(" - ")[0] for line in done.stdout.splitlines() if line.startswith("FAILED")]
    checks.row("pytest", exit_code=done.returncode, failed=failed)


RUN = dict(parity=parity, speed=speed, scenes=scenes, data=data, tests=tests, compile=compile_)


def run(checks: Checks, sections: list[str]) -> bool:
    """Run the sections; return whether all of them ended well."""

    def stop(*signal_: object) -> None:
        raise OutOfTimeError

    signal.signal(signal.SIGALRM, stop)
    ended_well = True
    for entry in sections:
        checks.section, seconds = entry.split("=")
        checks.seconds, began, ended = float(seconds), time.perf_counter(), "done"
        signal.setitimer(signal.ITIMER_REAL, checks.seconds)
        try:
            RUN[checks.section](checks)
        except (OutOfTimeError, subprocess.TimeoutExpired):
            ended = "out of time"
        except (Exception, SystemExit) as error:  # a command of declouds ends in SystemExit
            ended = f"failed: {type(error).__name__}: {error}"
            (checks.out / f"{checks.section}_error.txt").write_text(traceback.format_exc())
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        ended_well &= ended == "done"
        checks.row("section", ended=ended, seconds=time.perf_counter() - began)
    return ended_well


def main(arguments: list[str] | None = None) -> int:
    """Run the checks and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where results go")
    parser.add_argument(
        "--sections", nargs="+", default=list(SECTIONS), metavar="NAME=SECONDS", help=" ".join(SECTIONS)
    )
    parser.add_argument("--device", default="cuda", help="cuda (default), cuda:1, cpu")
    parser.add_argument("--tiny", action="store_true", help="a small model and small images, to try this script")
    args = parser.parse_args(arguments)
    for entry in args.sections:
        name, _, seconds = entry.partition("=")
        if name not in RUN or not seconds.replace(".", "", 1).isdigit():
            parser.error(f"--sections {entry}: give NAME=SECONDS with a name of {', '.join(RUN)}")
    if args.device.startswith("cuda") and not torch.cuda.is_available():
        parser.error("there is no CUDA device here: try the script with --device cpu --tiny")
    checks = Checks(args)
    ended_well = run(checks, args.sections)
    print("\n" + ", ".join(f"{key} {value}" for key, value in checks.about().items()))
    print("\n".join(map(shown, checks.rows)))
    return 0 if ended_well else 1


if __name__ == "__main__":
    sys.exit(main())
