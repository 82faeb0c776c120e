"""`declouds compare`: compare runs image by image."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from declouds.evaluation.results import RunResults
    from declouds.report.compared_runs import Comparable

HELP = "compare runs: means with intervals, paired differences, and by cloud cover"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="RUN[:METHOD]",
        help="a run, its scores, or a results.json; e.g. :prior compares another method than the run's result",
    )
    parser.add_argument(
        "--names",
        nargs="+",
        metavar="NAME",
        help="names of the runs in the tables; runs with the same name count as seeds of one model",
    )
    parser.add_argument("--method", help="method of all runs without :METHOD, e.g. DE (default: DE, else result)")
    parser.add_argument("--baseline", metavar="NAME", help="run to compare the others with (default: the first)")
    parser.add_argument(
        "--metrics",
        nargs="+",
        metavar="METRIC",
        help="e.g. official.psnr standard.mae (default: PSNR, SSIM, LPIPS; PSNR of cloudy and clear pixels)",
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="write compare.md, compare.tex and compare.csv into this folder"
    )
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
        raise UserError(f"--names: {len(args.names)} names for {len(args.runs)} runs: give one name per run")
    if len(args.runs) < 2:
        raise UserError("only one run to compare: give another, or two methods of the same run (RUN:prior RUN:DE)")
    comparison = compare_runs(_runs(args), args.baseline, args.metrics)
    print_comparison(comparison)
    if args.out is not None:
        write_comparison(comparison, args.out, args.overwrite)
        print(f"written to {args.out}")


def _runs(args: argparse.Namespace) -> "list[Comparable]":
    """Read the runs; those with the same name are grouped as seeds of one model."""
    names = args.names or [None] * len(args.runs)
    read = [_run(text, args.method, name) for text, name in zip(args.runs, names, strict=True)]
    if args.names is None:
        return list(read)
    groups: dict[str, list[RunResults]] = {}
    for results in read:
        groups.setdefault(results.label, []).append(results)
    return [group[0] if len(group) == 1 else (name, group) for name, group in groups.items()]


def _run(text: str, method: str | None, name: str | None) -> "RunResults":
    """Read ``RUN`` or ``RUN:METHOD``, keeping only that method."""
    from declouds.evaluation.results import read_run

    path, chosen = text, None
    if not Path(text).exists() and ":" in text:
        path, _, chosen = text.rpartition(":")
    results = read_run(Path(path))
    label = name or (f"{results.label}:{chosen}" if chosen else results.label)
    return results.only(chosen or method, label)
