"""`declouds sweep`: run an ablation described by one file."""

import argparse
import sys
from pathlib import Path

HELP = "run every cell of an ablation and write one table"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("sweep", type=Path, help="sweep file, for example configs/ablations/fusions.py")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder of the cells (default: work_dirs/sweeps/SWEEP)")
    parser.add_argument(
        "--stages", type=Path, default=Path("work_dirs/stages"), metavar="DIR",
        help="folder of trained stages, shared by cells and sweeps (default: work_dirs/stages)",
    )  # fmt: skip
    parser.add_argument(
        "--only", action="append", default=[], metavar="AXIS=NAME,...", help="only these values of an axis"
    )
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[], metavar="N", help="run every cell with each of these seeds"
    )
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="cells to run in parallel (default: 1)")
    parser.add_argument(
        "--engine", choices=("local", "ray"), default="local", help="how cells are run (default: local)"
    )
    parser.add_argument(
        "--ray-address", metavar="ADDRESS", help="address of a Ray cluster (default: start one on this machine)"
    )
    parser.add_argument("--retry", action="store_true", help="rerun failed cells")
    parser.add_argument("--dry-run", action="store_true", help="print the cells and their costs without running them")
    parser.add_argument("--lpips-weights", type=Path, metavar="FILE", help="see `declouds test`")
    parser.add_argument("--device", default="auto", help="see `declouds test`")
    parser.add_argument(
        "--cfg-options", nargs="+", default=[], metavar="KEY=VALUE", help="override entries of the base config"
    )


def run(args: argparse.Namespace) -> None:
    """Run the unfinished cells, then tabulate all finished ones."""
    from declouds.errors import UserError
    from declouds.experiments.costs import print_costs
    from declouds.experiments.engines.local import LocalEngine
    from declouds.experiments.engines.ray_engine import RayEngine
    from declouds.experiments.live_table import LiveTable
    from declouds.experiments.sweep import Sweep, finished_cells
    from declouds.experiments.sweep_file import read_sweep
    from declouds.experiments.sweep_table import write_tables

    if args.jobs < 1:
        raise UserError(f"--jobs must be at least 1, got {args.jobs}")
    sweep_file = read_sweep(args.sweep, args.cfg_options)
    folder = args.out or Path("work_dirs/sweeps") / sweep_file.name
    cells = sweep_file.cells(folder, _choice(args.only), args.seeds)
    sweep = Sweep(cells, args.retry)
    if args.dry_run:
        print_costs(sweep, args.stages, args.jobs)
        return
    given = ["--stages", str(args.stages.absolute()), "--device", args.device]
    if args.lpips_weights is not None:
        given += ["--lpips-weights", str(args.lpips_weights.absolute())]
    given += [f"--variant={name}" for name in sweep_file.variants]
    engine = RayEngine(args.jobs, args.ray_address) if args.engine == "ray" else LocalEngine(args.jobs)
    todo = sweep.to_run()
    done = [cell.folder for cell in cells if cell not in todo]
    with LiveTable([cell.folder for cell in cells], done, args.jobs) as watch:
        sweep.run(engine, lambda cell: [sys.executable, "-m", "declouds", "cell", str(cell), *given], watch)
    if finished := finished_cells(sweep_file, folder):
        tables = write_tables(sweep_file, finished, folder)
        print(f"written: {', '.join(map(str, tables))}")
    failures = sweep.failures()
    for name, why in failures.items():
        print(f"cell {name} failed: {why} (log: {folder / 'cells' / name / 'log.txt'})", file=sys.stderr)
    if failures:
        raise UserError(f"{len(failures)} of {len(cells)} cells failed: fix the cause, then rerun with --retry")


def _choice(options: list[str]) -> dict[str, list[str]]:
    """Read ``AXIS=NAME,...``."""
    from declouds.errors import UserError

    choice: dict[str, list[str]] = {}
    for option in options:
        axis, separator, names = option.partition("=")
        if not separator or not names:
            raise UserError(f"--only takes AXIS=NAME,NAME, got {option!r}")
        choice[axis] = choice.get(axis, []) + names.split(",")
    return choice
