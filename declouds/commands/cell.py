"""`declouds cell`: train and measure one cell, as `declouds sweep` does."""

import argparse
import sys
from pathlib import Path

HELP = "train and measure one cell of a sweep"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("folder", type=Path, help="folder of the cell, with its config.py")
    parser.add_argument("--stages", type=Path, metavar="DIR", help="see `declouds train`")
    parser.add_argument(
        "--variant",
        action="append",
        default=[],
        metavar="NAME",
        help="see `declouds test`; skipped if the model has no such variant",
    )
    parser.add_argument("--device", default="auto", help="see `declouds test`")
    parser.add_argument("--lpips-weights", type=Path, metavar="FILE", help="see `declouds test`")


def run(args: argparse.Namespace) -> None:
    """Train into FOLDER/run, resuming if needed, then measure into FOLDER/scores."""
    from filelock import FileLock, Timeout

    from declouds.commands.test import Choices, measure
    from declouds.commands.train import train
    from declouds.errors import UserError
    from declouds.experiments.sweep import BUSY
    from declouds.training.config import load_config

    config, work_dir = args.folder / "config.py", args.folder / "run"
    if not config.is_file():
        raise UserError(
            f"{args.folder} is not a cell of a sweep: it has no config.py: give a folder made by declouds sweep"
        )
    try:
        with FileLock(args.folder / ".lock", timeout=0):
            resume = (work_dir / "config.py").exists()
            train(load_config(config), work_dir, "none", args.stages, resume)
            choices = Choices(
                config,
                work_dir / "model.safetensors",
                variant=args.variant,
                out=args.folder / "scores",
                overwrite=True,  # existing scores may be incomplete
                device=args.device,
                lpips_weights=args.lpips_weights,
            )
            measure(choices, only_existing=True)
    except Timeout:
        print(f"declouds: {args.folder} is in use by another process: wait for it, or stop it", file=sys.stderr)
        sys.exit(BUSY)
