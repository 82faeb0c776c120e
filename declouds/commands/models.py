"""`declouds models`: the models and parts that a config can name."""

import argparse

HELP = "list every registered part with its one-line description"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add an optional filter."""
    parser.add_argument("kind", nargs="?", help="only this kind, for example fusion")


def run(args: argparse.Namespace) -> None:
    """Print all parts by kind, including those of plugins."""
    from mmengine.registry import MODELS
    from rich.console import Console
    from rich.table import Table

    from declouds.errors import UserError
    from declouds.models.cloud_remover import CloudRemover
    from declouds.registry import PART_REGISTRIES, describe, load_plugins

    load_plugins()
    whole = {name: model for name, model in MODELS.module_dict.items() if issubclass(model, CloudRemover)}
    kinds = {"model": whole} | {registry.name: registry.parts() for registry in PART_REGISTRIES}
    if args.kind and args.kind not in kinds:
        raise UserError(f"unknown kind of part {args.kind!r}: known: {', '.join(kinds)}")
    for kind, parts in kinds.items():
        if args.kind in (None, kind):
            table = Table(title=kind, title_justify="left", show_header=False, box=None, padding=(0, 2))
            for name in sorted(parts):
                table.add_row(name, describe(parts[name]))
            Console().print(table)
