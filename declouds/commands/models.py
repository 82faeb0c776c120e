"""`declouds models`: the models and parts that a config can name."""

import argparse

HELP = "list every registered part with its one-line description"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add an optional filter."""
    parser.add_argument("kind", nargs="?", help="only this kind, for example fusion")


def run(args: argparse.Namespace) -> None:
    """Print all parts by kind, including those of plugins."""
    from rich.console import Console
    from rich.table import Table

    from declouds.errors import UserError
    from declouds.registry import REGISTRIES, describe, load_plugins

    load_plugins()
    kinds = {registry.name: registry for registry in REGISTRIES}
    if args.kind and args.kind not in kinds:
        raise UserError(f"unknown kind of part {args.kind!r}: known: {', '.join(kinds)}")
    for kind in [args.kind] if args.kind else kinds:
        parts = kinds[kind].parts()  # imports the parts of this kind alone
        table = Table(title=kind, title_justify="left", show_header=False, box=None, padding=(0, 2))
        for name in sorted(parts):
            table.add_row(name, describe(parts[name]))
        Console().print(table)
