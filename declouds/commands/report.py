"""`declouds report`: runs as a page to look at."""

import argparse
from pathlib import Path

HELP = "write a page about runs: figures, worst images, weight and error maps, steps, training curves"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="a run, its scores, or a results.json")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the folder to write")
    parser.add_argument("--names", nargs="+", metavar="NAME", help="of the runs, one each (default: their folders)")
    parser.add_argument(
        "--images", nargs="+", default=[], metavar="NAME", help="show these too, their steps at full size"
    )
    parser.add_argument("--worst", type=int, default=10, metavar="N", help="show the N worst images of each run (10)")
    parser.add_argument(
        "--by", default="official.psnr", metavar="METRIC", help="what makes an image bad (official.psnr)"
    )
    parser.add_argument("--no-pictures", action="store_true", help="figures and curves only; run no model")
    parser.add_argument("--device", default="auto", help="where models run: auto (default), cpu, cuda, cuda:1, ...")
    parser.add_argument(
        "--checkpoint",
        nargs="+",
        type=Path,
        default=[],
        metavar="FILE",
        help="weights, if the recorded file no longer exists",
    )
    parser.add_argument(
        "--config",
        nargs="+",
        type=Path,
        default=[],
        metavar="FILE",
        help="config, if the recorded file no longer exists",
    )
    parser.add_argument(
        "--cfg-options", nargs="+", default=[], metavar="KEY=VALUE", help="override the configs: datamodule.root=DIR"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a report that exists")


def run(args: argparse.Namespace) -> None:
    """Read the runs, write the report, and say what it had to leave out."""
    import sys

    from declouds.errors import UserError
    from declouds.evaluation.results import read_run
    from declouds.report.write_report import ReportOptions, write_report

    if args.names is not None and len(args.names) != len(args.runs):
        raise UserError(f"--names gives {len(args.names)} names for {len(args.runs)} runs: give one each")
    names = args.names or [None] * len(args.runs)
    runs = [read_run(path, name) for path, name in zip(args.runs, names, strict=True)]
    options = ReportOptions(
        images=tuple(args.images),
        worst=args.worst,
        by=args.by,
        pictures=not args.no_pictures,
        device=args.device,
        checkpoints=tuple(args.checkpoint),
        configs=tuple(args.config),
        cfg_options=tuple(args.cfg_options),
        overwrite=args.overwrite,
    )
    for notice in write_report(runs, args.out, options):
        print(f"declouds: {notice}", file=sys.stderr)
    print(f"written: {args.out / 'index.html'}")
