"""The `declouds` command."""

import argparse
import importlib
import os
import re
import sys
from collections.abc import Sequence

from declouds import __version__
from declouds.errors import UserError

NEGATIVE_NUMBER = re.compile(r"-(\d+\.?\d*|\.\d+)(e[+-]?\d+)?(,[-+.\de]+)*$", re.IGNORECASE)
FOR_TRAINING = ("torchgeo", "lightning", "requests", "distutils", "timm", "torchmetrics", "lpips", "tensorboard")
COMMANDS = (
    "train",
    "adapt",
    "test",
    "evaluate",
    "fetch",
    "predict",
    "mask",
    "app",
    "sweep",
    "cell",
    "compare",
    "report",
    "reproduce",
    "runs",
    "new",
    "weights",
    "data",
    "models",
)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all sub-commands."""
    parser = argparse.ArgumentParser(prog="declouds", description="Remove clouds from optical satellite images.")
    parser.add_argument("--version", action="version", version=f"declouds {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in COMMANDS:
        module = importlib.import_module(f"declouds.commands.{name}")
        sub = commands.add_parser(name, help=module.HELP, description=module.HELP)
        module.add_arguments(sub)
        sub._negative_number_matcher = NEGATIVE_NUMBER  # argparse takes -1e-1 and -3.4e+38 for flags
        sub.set_defaults(run=module.run)
    return parser


def limit_spinning() -> None:
    """Make idle OpenMP threads spin for microseconds only before they sleep, unless the user set the wait policy.

    Takes effect when torch is first imported. Sleeping at once costs a third more time on an idle CPU; spinning for
    milliseconds, the default, slows a busy CPU down many times.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "20000")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a sub-command; an error that the user can fix prints one line and exits with code 2."""
    limit_spinning()
    args = build_parser().parse_args(arguments)
    try:
        args.run(args)
    except UserError as error:
        # An error in a data loader's worker arrives wrapped in a traceback, with its message last.
        message = str(error).rsplit("declouds.errors.UserError: ", 1)[-1].strip()
        print(f"declouds: {message}", file=sys.stderr)
        sys.exit(2)
    except ModuleNotFoundError as error:
        if str(error.name).split(".")[0] not in FOR_TRAINING:
            raise
        needs = f"declouds {args.command} needs {error.name} here, which comes with what training needs"
        print(f'declouds: {needs}: pip install "declouds[train]"', file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("declouds: interrupted", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
