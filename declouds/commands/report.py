"""`declouds report`: write an HTML report about runs."""

import argparse
from pathlib import Path

HELP = "write an HTML report about runs: scores, worst images, weight and error maps, sampling steps, training curves"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="a run, its scores, or a results.json")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the report")
    parser.add_argument("--names", nargs="+", metavar="NAME", help="names of the runs (default: their folders)")
    parser.add_argument(
        "--images",
        nargs="+",
        default=[],
        metavar="NAME",
        help="show these images too, with their sampling steps at full resolution",
    )
    parser.add_argument(
        "--worst", type=int, default=10, metavar="N", help="show the N worst images of each run (default: 10)"
    )
    parser.add_argument(
        "--by",
        default="official.psnr",
        metavar="METRIC",
        help="metric that ranks the worst images (default: official.psnr)",
    )
    parser.add_argument("--no-pictures", action="store_true", help="scores and curves only, without running a model")
    parser.add_argument("--device", default="auto", help="device of the models: auto (default), cpu, cuda, cuda:1, ...")
    parser.add_argument(
        "--checkpoint",
        nargs="+",
        type=Path,
        default=[],
        metavar="FILE",
        help="weights files, if the recorded ones no longer exist",
    )
    parser.add_argument(
        "--config",
        nargs="+",
        type=Path,
        default=[],
        metavar="FILE",
        help="configs, if the recorded ones no longer exist",
    )
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="override config entries, e.g. datamodule.root=DIR",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an existing report")


def run(args: argparse.Namespace) -> None:
    """Read the runs, write the report and print what it lacks."""
    import sys

    from declouds.errors import UserError
    from declouds.evaluation.results import read_run
    from declouds.report.write_report import ReportOptions, write_report

    if args.names is not None and len(args.names) != len(args.runs):
        raise UserError(f"--names: {len(args.names)} names for {len(args.runs)} runs: give one name per run")
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
