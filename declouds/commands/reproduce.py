"""`declouds reproduce`: reproduce published tables."""

import argparse
import sys
from pathlib import Path

HELP = "reproduce a published table: published, expected and obtained scores"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("table", nargs="?", help="name of a table, or your own .toml file (default: list the tables)")
    parser.add_argument(
        "--data", nargs="+", default=[], metavar="NAME=FOLDER", help="folders of data sets, e.g. rice1=/data/RICE1"
    )
    parser.add_argument("--rows", nargs="+", metavar="NAME", help="only these rows")
    parser.add_argument("--train", action="store_true", help="train missing models; --plan shows how long it takes")
    parser.add_argument(
        "--work-dirs",
        type=Path,
        default=Path("work_dirs"),
        metavar="DIR",
        help="folder of the runs (default: work_dirs)",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder of the results (default: reproduced/TABLE)")
    parser.add_argument("--plan", action="store_true", help="print what can be measured and what is missing, then stop")
    parser.add_argument(
        "--lpips-weights", type=Path, metavar="FILE", help="AlexNet weights (default: cached or downloaded)"
    )
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda, cuda:1, ...")


def run(args: argparse.Namespace) -> None:
    """List the tables; or plan, measure and print one, with exit code 0 only if it was reproduced."""
    from declouds.experiments.reproduce.table import read_table

    if args.table is None:
        _list()
        return
    table = read_table(args.table)
    roots = _roots(args.data)

    from declouds.evaluation.lpips_net import load_lpips
    from declouds.evaluation.tables import check_free
    from declouds.experiments.reproduce.run import Reproduction
    from declouds.hardware import keep_freed_memory, pick_device

    keep_freed_memory()
    out = args.out or Path("reproduced") / table.name
    check_free(out, overwrite=True)
    reproduction = Reproduction(
        table,
        rows=args.rows,
        roots=roots,
        work_dirs=args.work_dirs,
        out=out,
        train=args.train,
        load_lpips=lambda: load_lpips(args.lpips_weights),
        device=pick_device(args.device),
    )
    plans = reproduction.plan()
    if not args.plan:
        sys.exit(reproduction.run(plans))


def _list() -> None:
    from declouds.experiments.reproduce.table import read_table, shipped_tables

    for name in shipped_tables():
        table = read_table(name)
        print(f"{name}: {table.about}")
        print(f"  rows: {', '.join(row.name for row in table.rows)}")
        print(f"  data: {', '.join(f'{key} ({data.root})' for key, data in table.data.items())}")


def _roots(given: list[str]) -> dict[str, Path]:
    from declouds.errors import UserError

    roots = {}
    for text in given:
        name, separator, folder = text.partition("=")
        if not separator or not folder:
            raise UserError(f"--data {text}: give NAME=FOLDER, e.g. rice1=/data/RICE1")
        roots[name] = Path(folder)
    return roots
