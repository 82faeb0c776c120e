"""`declouds cell`: one cell of a sweep, as `declouds sweep` runs it."""

import argparse
import sys
from pathlib import Path

HELP = "train and measure one cell of a sweep"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("folder", type=Path, help="folder of the cell; its config.py says what is run")
    parser.add_argument("--stages", type=Path, metavar="DIR", help="as of `declouds train`")
    parser.add_argument(
        "--variant",
        action="append",
        default=[],
        metavar="NAME",
        help="as of `declouds test`; left out without a fusion",
    )
    parser.add_argument("--device", default="auto", help="as of `declouds test`")
    parser.add_argument("--lpips-weights", type=Path, metavar="FILE", help="as of `declouds test`")


def run(args: argparse.Namespace) -> None:
    """Train what is not trained yet into FOLDER/run, then measure it into FOLDER/scores."""
    from filelock import FileLock, Timeout

    from declouds.commands import test, train
    from declouds.errors import UserError
    from declouds.experiments.sweep import BUSY

    config, work_dir = args.folder / "config.py", args.folder / "run"
    if not config.is_file():
        raise UserError(f"{args.folder} is no cell of a sweep: it has no config.py")
    try:
        with FileLock(args.folder / ".lock", timeout=0):
            resume = ["--resume"] if (work_dir / "config.py").exists() else []
            stages = [] if args.stages is None else ["--stages", str(args.stages)]
            _call(train, [str(config), "--work-dir", str(work_dir), "--launcher", "none", *stages, *resume])
            lpips = [] if args.lpips_weights is None else ["--lpips-weights", str(args.lpips_weights)]
            variants = [f"--variant={name}" for name in args.variant if _fuses(config)]
            scores = ["--out", str(args.folder / "scores"), "--overwrite"]  # what is there is half-written
            weights = str(work_dir / "model.safetensors")
            _call(test, [str(config), weights, *scores, "--device", args.device, *lpips, *variants])
    except Timeout:
        print(f"declouds: {args.folder} is being run by another process: wait for it, or stop it", file=sys.stderr)
        sys.exit(BUSY)


def _fuses(config: Path) -> bool:
    from declouds.training.config import load_config

    return load_config(config).model.get("fusion") is not None


def _call(command: object, arguments: list[str]) -> None:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)  # type: ignore[attr-defined]
    command.run(parser.parse_args(arguments))  # type: ignore[attr-defined]
