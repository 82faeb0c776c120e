"""`declouds new`: write a plugin package with a part of your own."""

import argparse
from pathlib import Path

from declouds.scaffold.kinds import KINDS, in_words

HELP = "write a package with a part of your own, ready to install, test and train"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("kind", choices=KINDS, metavar="KIND", help=f"kind of part: {', '.join(KINDS)}")
    parser.add_argument("name", metavar="NAME", help="name of the package: my_fusion has a class MyFusion")
    parser.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="write DIR/NAME (default: ./NAME)")


def run(args: argparse.Namespace) -> None:
    """Write the package and print the next steps."""
    from declouds.scaffold.names import class_of
    from declouds.scaffold.plugin import use_command, write_plugin

    target = write_plugin(args.kind, args.name, args.out)
    print(f"{target}: {class_of(args.name)}, a {in_words(args.kind)}, with its test and an example of use")
    for line in (f"cd {target}", 'pip install -e ".[dev]"', "pytest", use_command(args.kind, args.name)):
        print(f"  {line}")
