"""`declouds train`: train all stages of a config."""

import argparse
import sys
from pathlib import Path
from typing import Any

HELP = "train all stages of a config"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments, with MMEngine's usual names."""
    parser.add_argument("config", type=Path, help="config file, for example configs/de_cuhkcr_thick.py")
    parser.add_argument("--work-dir", type=Path, help="folder of the run (default: work_dirs/CONFIG)")
    parser.add_argument("--resume", action="store_true", help="resume the run in the work dir")
    parser.add_argument("--precision", help="precision of the networks: fp32 (default), bf16, or auto")
    parser.add_argument(
        "--cfg-options", nargs="+", default=[], metavar="KEY=VALUE", help="override entries of the config"
    )
    parser.add_argument(
        "--stages",
        type=Path,
        metavar="DIR",
        help="folder of trained stages shared by runs, so that none is trained twice",
    )
    parser.add_argument("--launcher", default="auto", help="auto (default: detects torchrun), none, pytorch or slurm")
    parser.add_argument(
        "--dry-run", action="store_true", help="run two iterations of each stage and print the cost of the full run"
    )


def run(args: argparse.Namespace) -> None:
    """Train, or print what training would cost."""
    from declouds.training.config import load_config

    config = load_config(args.config, args.cfg_options)
    if args.precision is not None:
        config.precision = args.precision  # recorded in the config, so that --resume can check it
    work_dir = args.work_dir or Path("work_dirs") / args.config.stem
    train(config, work_dir, args.launcher, args.stages, args.resume, args.dry_run)


def train(
    config: Any,
    work_dir: Path,
    launcher: str = "auto",
    stages: Path | None = None,
    resume: bool = False,
    dry_run: bool = False,
) -> None:
    """Train all stages of a loaded config in ``work_dir``; the other arguments are as for the command."""
    from declouds.hardware import keep_freed_memory, pick_launcher, start_processes, stop_processes

    keep_freed_memory()
    launcher = pick_launcher(launcher)
    start_processes(launcher)
    try:
        from mmengine.dist import is_main_process

        from declouds.runs.stop_signals import StoppedError
        from declouds.training.coarse_to_fine import CoarseToFine
        from declouds.training.stage_cost import costs_of_stages

        training = CoarseToFine(config, work_dir, launcher=launcher, stages=stages)
        if dry_run:
            costs = costs_of_stages(training)
            if is_main_process():
                _print_costs(costs)
            return
        try:
            target = training.run(resume)
        except StoppedError as stopped:
            if is_main_process():
                print(f"declouds: stopped by {stopped.signal}: continue with --resume", file=sys.stderr)
            raise
        if is_main_process():
            print(f"weights: {target}\nevaluate them: declouds test {config.filename} {target}")
    finally:
        stop_processes()


def _print_costs(costs: list) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Cost of the full run, extrapolated from two iterations of each stage on this machine")
    for column in ("stage", "trains", "iterations", "images", "hours", "peak memory"):
        table.add_column(column, justify="left" if column in ("stage", "trains") else "right")
    for cost in costs:
        table.add_row(
            cost.stage.name, ", ".join(cost.stage.train), f"{cost.iterations:,}", f"{cost.images:,}",
            f"{cost.seconds / 3600:.2f}", f"{cost.memory / 2**30:.2f} GiB",
        )  # fmt: skip
    table.add_row(
        "total", "", f"{sum(c.iterations for c in costs):,}", f"{sum(c.images for c in costs):,}",
        f"{sum(c.seconds for c in costs) / 3600:.2f}", f"{max((c.memory for c in costs), default=0) / 2**30:.2f} GiB",
    )  # fmt: skip
    Console().print(table)
    print("The first iterations are slow, so the hours are an upper estimate; they exclude evaluations.")
