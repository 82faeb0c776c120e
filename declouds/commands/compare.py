"""`declouds compare`: runs against each other, image by image."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from declouds.evaluation.results import RunResults
    from declouds.report.compared_runs import Comparable

HELP = "compare runs: means with intervals, paired differences, and by cloud cover"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="RUN[:METHOD]",
        help="a run, its scores, or a results.json; :prior takes another method than the run's own result",
    )
    parser.add_argument(
        "--names", nargs="+", metavar="NAME", help="of the runs in the tables; runs of one name are seeds of one thing"
    )
    parser.add_argument("--method", help="of every run without :METHOD, e.g. DE (default: DE, else result)")
    parser.add_argument("--baseline", metavar="NAME", help="the run that the others are compared with (the first)")
    parser.add_argument(
        "--metrics",
        nargs="+",
        metavar="METRIC",
        help="e.g. official.psnr standard.mae (default: PSNR, SSIM, LPIPS; PSNR of cloudy and clear pixels)",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="write compare.md, compare.tex and compare.csv there")
    parser.add_argument("--overwrite", action="store_true", help="replace files that exist")


def run(args: argparse.Namespace) -> None:
    """Check the runs, then compare, print and write."""
    from declouds.errors import UserError
    from declouds.evaluation.tables import check_free
    from declouds.report.comparison import compare_runs
    from declouds.report.comparison_output import FILES, print_comparison, write_comparison

    if args.out is not None:
        check_free(args.out, args.overwrite, FILES)
    if args.names is not None and len(args.names) != len(args.runs):
        raise UserError(f"--names gives {len(args.names)} names for {len(args.runs)} runs: give one each")
    if len(args.runs) < 2:
        raise UserError(
            "one run has nothing to be compared with: give another, or two methods of one (RUN:prior RUN:DE)"
        )
    comparison = compare_runs(_runs(args), args.baseline, args.metrics)
    print_comparison(comparison)
    if args.out is not None:
        write_comparison(comparison, args.out, args.overwrite)
        print(f"written to {args.out}")


def _runs(args: argparse.Namespace) -> "list[Comparable]":
    """Read the runs; those that were given one name become one, of several seeds."""
    names = args.names or [None] * len(args.runs)
    read = [_run(text, args.method, name) for text, name in zip(args.runs, names, strict=True)]
    if args.names is None:
        return list(read)
    groups: dict[str, list[RunResults]] = {}
    for found in read:
        groups.setdefault(found.label, []).append(found)
    return [group[0] if len(group) == 1 else (name, group) for name, group in groups.items()]


def _run(text: str, method: str | None, name: str | None) -> "RunResults":
    """Read ``RUN`` or ``RUN:METHOD``, with that method alone."""
    from declouds.evaluation.results import read_run

    path, chosen = text, None
    if not Path(text).exists() and ":" in text:
        path, _, chosen = text.rpartition(":")
    found = read_run(Path(path))
    label = name or (f"{found.label}:{chosen}" if chosen else found.label)
    return found.only(chosen or method, label)
