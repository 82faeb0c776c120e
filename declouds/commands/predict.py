"""`declouds predict`: a scene in, the scene without clouds out."""

import argparse
from pathlib import Path

HELP = "remove the clouds of a GeoTIFF of any size"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("scene", type=Path, metavar="IN.tif", help="the cloudy scene")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT.tif", help="the GeoTIFF to write")
    parser.add_argument("--checkpoint", type=Path, required=True, metavar="FILE", help="the model's weights")
    parser.add_argument("--tile", type=int, default=256, metavar="N", help="side of a window (default: 256)")
    parser.add_argument("--overlap", type=int, default=64, metavar="N", help="pixels that windows share (default: 64)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the start noise (default: 0)")
    parser.add_argument("--batch-size", type=int, default=1, metavar="N", help="windows at a time (default: 1)")
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda, cuda:1, ...")
    parser.add_argument("--nodata", type=float, metavar="V", help="the value that means no data, not the file's own")
    parser.add_argument("--overwrite", action="store_true", help="replace OUT.tif if it exists")


def run(args: argparse.Namespace) -> None:
    """Check the files, load the model, clear the scene, and tell what was done."""
    from declouds.inference.checks import check_files
    from declouds.inference.noise import check_seed
    from declouds.inference.tiles import check_tiling

    check_tiling(args.tile, args.overlap, args.batch_size)
    check_seed(args.seed)
    check_files(args.scene, args.output, overwrite=args.overwrite, nodata=args.nodata)

    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    from declouds.engine.environment import keep_freed_memory
    from declouds.inference.device import pick_device
    from declouds.inference.remove_clouds import prediction, what_it_takes
    from declouds.inference.scene import clear_scene
    from declouds.weights.file import load_model

    keep_freed_memory()
    device = pick_device(args.device)
    model = load_model(args.checkpoint, device)
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with (
        prediction(model) as predict,
        Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar,
    ):
        task = bar.add_task("windows", total=None)
        report = clear_scene(
            predict,
            args.scene,
            args.output,
            **what_it_takes(model),
            **dict(tile=args.tile, overlap=args.overlap, seed=args.seed, batch_size=args.batch_size),
            **dict(nodata=args.nodata, overwrite=args.overwrite),
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    tally = report.tally
    print(
        f"{report.path}: {report.width} x {report.height} pixels in {report.seconds:.1f} s ({report.speed:.3g} Mpx/s), "
        f"{tally.windows} windows, {tally.skipped} of them skipped (no data)"
    )
    if tally.clipped:
        low, high = model.value_range.low, model.value_range.high
        share = 100 * tally.clipped / tally.values
        print(f"{share:.2g} % of the values were outside the model's range {low:g} to {high:g} and were clipped to it")
