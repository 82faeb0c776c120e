"""Measure what `declouds predict` promises: `python tools/measure_scenes.py seams|independence|cost|kill ...`.

Every figure comes from runs of the command itself, in processes of their own.
"""

import argparse
import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.transform import Affine

from declouds.errors import UserError
from declouds.scenes.sampling.tiles import windows

TURNED = Affine(8.66, 5, 600000, 5, -8.66, 5400000)  # the grid of made scenes is no rectangle on the map


def predict(args: argparse.Namespace, scene: Path, output: Path, *flags: object, processes: int = 1) -> dict[str, Any]:
    """Clear a scene by the command; return its summary, with peak memory and processor time of the process."""
    start = [sys.executable, "-m", "declouds"]
    if processes > 1:
        start = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
        start += ["-m", "declouds"]
    command = [*start, "predict", str(scene), "-o", str(output), "--checkpoint", str(args.checkpoint)]
    process = subprocess.Popen([*command, *map(str, flags)], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise UserError(f"declouds predict failed on {scene}: see above")
    used = dict(memory=usage.ru_maxrss * 1024, processor=usage.ru_utime + usage.ru_stime)
    return json.loads(output.with_suffix(".json").read_text()) | used


def seams(args: argparse.Namespace) -> None:
    """Compare jumps across the edges of windows with jumps elsewhere, for three ways to blend."""
    tiling = dict(tile=args.tile, overlap=args.overlap)
    ways = {
        "joint": dict(tiling, blend="joint"),
        "final": dict(tiling, blend="final"),
        "no blending": dict(tile=args.tile, overlap=0, blend="final"),
    }
    print("| blending | jump across edges / elsewhere | the same rows and columns of the cloudy scene |\n|---|---|---|")
    with folder() as work:
        for name, options in ways.items():
            output = work / f"{name.split()[0]}.tif"
            predict(args, args.scene, output, *flags(options))
            ratios = [jump_ratio(path, options["tile"], options["overlap"]) for path in (output, args.scene)]
            print(f"| {name} | {ratios[0]:.4f} | {ratios[1]:.4f} |", flush=True)


def jump_ratio(path: Path, tile: int, overlap: int) -> float:
    """Return the mean absolute difference across the edges of windows, over that between all other neighbours."""
    with rasterio.open(path) as file:
        image, valid = file.read().astype(np.float64), file.dataset_mask() != 0
    height, width = valid.shape
    grid = windows(height, width, tile, overlap)
    jumps: dict[bool, list[np.ndarray]] = {True: [], False: []}
    for axis, length in ((0, height), (1, width)):
        starts = {window[axis] for window in grid} | {window[axis] + window[2 + axis] for window in grid}
        at_edge = np.isin(np.arange(1, length), list(starts))
        steps = np.moveaxis(np.abs(np.diff(image, axis=axis + 1)), axis + 1, 0)
        both = np.moveaxis(np.minimum(np.roll(valid, -1, axis), valid), axis, 0)[:-1]
        for edge in (True, False):
            jumps[edge].append(np.moveaxis(steps[at_edge == edge], 1, -1)[both[at_edge == edge]].ravel())
    return float(np.concatenate(jumps[True]).mean() / np.concatenate(jumps[False]).mean())


def independence(args: argparse.Namespace) -> None:
    """Compare results of other windows, batches and numbers of processes with those of the defaults."""
    base = dict(tile=256, overlap=64)
    others = {
        **{f"tile {tile}": dict(base, tile=tile) for tile in (128, 192)},
        "batch 4": {**base, "batch-size": 4},
        "2 processes": dict(base),
    }
    with folder() as work:
        predict(args, args.scene, work / "base.tif", *flags(base))
        expected = read(work / "base.tif")
        print("| against tile 256, batch 1, 1 process | largest difference | mean difference |\n|---|---|---|")
        for name, options in others.items():
            output = work / f"{name.replace(' ', '_')}.tif"
            predict(args, args.scene, output, *flags(options), processes=2 if "processes" in name else 1)
            difference = np.abs(read(output) - expected)
            print(f"| {name} | {difference.max():g} | {difference.mean():.4f} |", flush=True)


def cost(args: argparse.Namespace) -> None:
    """Measure seconds and peak memory by the size of the scene."""
    ways = {"all": False} | ({"30 % of the scene clear": True} if args.masked else {})
    head = ("scene", "cleared", "windows computed", "s", "Mpx/s", "processor s", "peak memory, MiB")
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
    seconds = []
    with folder() as work:
        for size in args.sizes:
            scene, mask = work / "scene.tif", work / "mask.tif"
            write_scene(scene, size, args.bands, args.dtype)
            write_mask(mask, size)
            for name, masked in ways.items():
                chosen = ["--overwrite", *(["--mask", mask] if masked else [])]
                told = predict(args, scene, work / "clear.tif", *chosen, *args.flags)
                computed, speed = (
                    told["windows"]["all"] - told["windows"]["skipped"],
                    size * size / 1e6 / told["seconds"],
                )
                print(
                    f"| {size} x {size} | {name} | {computed} of {told['windows']['all']} | {told['seconds']:.1f} "
                    f"| {speed:.4g} | {told['processor']:.1f} | {told['memory'] / 2**20:.0f} |",
                    flush=True,
                )
                if not masked:
                    seconds.append(told["processor"])
    if len(args.sizes) > 1:
        exponent, _ = np.polyfit(np.log([size**2 for size in args.sizes]), np.log(seconds), 1)
        print(f"\nprocessor seconds, start included, grow with the pixels to the power of {exponent:.3f}")


def kill(args: argparse.Namespace) -> None:
    """Kill the command at random moments, repeat it, and compare the bytes with those of an unbroken run."""
    dice = random.Random(args.seed)
    with folder() as work:
        took = predict(args, args.scene, work / "whole.tif", *args.flags)["seconds"]
        output = work / "broken.tif"
        command = [sys.executable, "-m", "declouds", "predict", str(args.scene), "-o", str(output)]
        command += ["--checkpoint", str(args.checkpoint), *args.flags]
        killed = 0
        while killed < args.times and not output.exists():
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
            while process.poll() is None and not (work / ".broken.tif.partial" / "ledger.json").exists():
                time.sleep(0.05)
            time.sleep(dice.uniform(0.1, 1.5 * took / args.times))
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                killed += 1
            process.wait()
        if not output.exists():
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        same = output.read_bytes() == (work / "whole.tif").read_bytes()
        left = [path.name for path in work.iterdir() if path.name.startswith(".")]
        print(f"killed {killed} times: {'the same bytes' if same else 'OTHER BYTES'}; left behind: {left or 'nothing'}")


def write_scene(path: Path, size: int, bands: int, dtype: str) -> None:
    """Write a scene of smooth patches on a rotated grid, a few rows at a time."""
    grid = dict(crs="EPSG:32632", transform=TURNED, nodata=0)
    profile = dict(driver="GTiff", width=size, height=size, count=bands, dtype=dtype, compress="deflate", tiled=True)
    rng = np.random.default_rng(0)
    high = 255 if dtype == "uint8" else 10_000
    with rasterio.open(path, "w", **profile, **grid, photometric="MINISBLACK") as file:
        for row in range(0, size, 256):
            rows = min(256, size - row)
            patches = rng.uniform(1, high, (bands, math.ceil(rows / 16), math.ceil(size / 16)))
            values = patches.repeat(16, axis=1).repeat(16, axis=2)[:, :rows, :size].astype(dtype)
            file.write(values, window=rasterio.windows.Window(0, row, size, rows))


def write_mask(path: Path, size: int) -> None:
    """Write a mask whose upper 70 % are cloud."""
    profile = dict(driver="GTiff", width=size, height=size, count=1, dtype="uint8", compress="deflate")
    grid = dict(crs="EPSG:32632", transform=TURNED)
    with rasterio.open(path, "w", **profile, **grid) as file:
        cloud = np.zeros((1, size, size), np.uint8)
        cloud[:, : size * 7 // 10] = 1
        file.write(cloud)


def flags(options: dict[str, object]) -> list[str]:
    """Return options as flags."""
    return [word for name, value in options.items() for word in (f"--{name}", str(value))]


def read(path: Path) -> np.ndarray:
    """Return the pixels of a file, as numbers that can be subtracted."""
    with rasterio.open(path) as file:
        return file.read().astype(np.float64)


@contextmanager
def folder() -> Iterator[Path]:
    """Give a folder that is removed at the end."""
    path = Path(tempfile.mkdtemp(prefix="declouds_"))
    try:
        yield path
    finally:
        shutil.rmtree(path)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    commands = parser.add_subparsers(dest="command", required=True)
    for action in (seams, independence, cost, kill):
        sub = commands.add_parser(action.__name__, help=action.__doc__)
        sub.set_defaults(action=action)
        sub.add_argument("--checkpoint", type=Path, required=True, help="the model's weights")
        if action is not cost:
            sub.add_argument("--scene", type=Path, required=True, help="a scene of the model's bands and units")
        if action in (cost, kill):
            sub.add_argument("--flags", nargs=argparse.REMAINDER, default=[], help="more flags of declouds predict")
    commands.choices["seams"].add_argument("--tile", type=int, default=128)
    commands.choices["seams"].add_argument("--overlap", type=int, default=32)
    commands.choices["cost"].add_argument("--sizes", type=int, nargs="+", default=[1024, 2048, 4096, 8192])
    commands.choices["cost"].add_argument("--masked", action="store_true", help="measure a mask that skips 30 %% too")
    commands.choices["cost"].add_argument("--bands", type=int, default=3)
    commands.choices["cost"].add_argument("--dtype", default="uint8")
    commands.choices["kill"].add_argument("--times", type=int, default=10)
    commands.choices["kill"].add_argument("--seed", type=int, default=0)
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the tool; what the user can mend ends in one line and exit code 2."""
    args = build_parser().parse_args(arguments)
    try:
        args.action(args)
    except UserError as error:
        print(f"measure_scenes: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
