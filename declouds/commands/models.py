"""`declouds models`: everything that a config can name."""

import argparse

HELP = "list every registered part with its one-line description"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add an optional filter."""
    parser.add_argument("kind", nargs="?", help="only this kind, for example fusion")


def run(args: argparse.Namespace) -> None:
    """Print the parts, kind by kind, those of plugins included."""
    from rich.console import Console
    from rich.table import Table

    from declouds.errors import UserError
    from declouds.registry import PART_REGISTRIES, load_plugins

    load_plugins()
    kinds = [registry.name for registry in PART_REGISTRIES]
    if args.kind and args.kind not in kinds:
        raise UserError(f"no kind of part is called {args.kind!r}: known: {', '.join(kinds)}")
    for registry in PART_REGISTRIES:
        if args.kind in (None, registry.name):
            table = Table(title=registry.name, title_justify="left", show_header=False, box=None, padding=(0, 2))
            for name, description in registry.describe():
                table.add_row(name, description)
            Console().print(table)
