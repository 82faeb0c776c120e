"""`declouds runs`: list and filter runs, or show one in detail."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from declouds.runs.listing import Listed

HELP = "list runs, sweep cells and scores, or show one in detail"
COLUMNS = ("name", "status", "config", "model", "data", "seed", "stages", "seconds", "peak_memory", "official.psnr")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "folders", nargs="*", type=Path, metavar="DIR", help="folders to search (default: work_dirs), or one run"
    )
    parser.add_argument(
        "--where",
        nargs="+",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        help="only runs that meet all conditions: = (with * and ?), != < > <= >=; quote them in the shell",
    )
    parser.add_argument("--sort", metavar="KEY", help="sort by this key, ascending (default: name)")
    parser.add_argument("--reverse", action="store_true", help="sort in descending order")
    parser.add_argument(
        "--columns", nargs="+", metavar="KEY", help=f"columns to show, any key of --json (default: {' '.join(COLUMNS)})"
    )
    parser.add_argument("--json", action="store_true", help="print JSON with all keys, or those of --columns")


def run(args: argparse.Namespace) -> None:
    """Find, filter, sort and print."""
    from declouds.runs.filter import check_keys, in_order, read_condition
    from declouds.runs.listing import find_listed, give_scores

    folders = args.folders or [Path("work_dirs")]
    conditions = [read_condition(text) for text in args.where]
    listed = [entry for folder in folders for entry in find_listed(folder)]
    give_scores(listed)
    rows = [entry.values() for entry in listed]
    known = {key for row in rows for key in row}
    if rows:
        used = [condition.key for condition in conditions] + ([args.sort] if args.sort else []) + (args.columns or [])
        check_keys(used, known)
    places = [place for place, row in enumerate(rows) if all(condition.holds(row) for condition in conditions)]
    places = [places[place] for place in in_order([rows[place] for place in places], args.sort or "name", args.reverse)]
    listed, rows = [listed[place] for place in places], [rows[place] for place in places]
    if args.json:
        _print_json(rows, args.columns)
    elif len(folders) == len(listed) == 1 and listed[0].path == folders[0] and not args.columns:
        from declouds.runs.page import print_page

        print_page(listed[0], _console())
    elif listed:
        _print_table(listed, rows, args.columns or COLUMNS)
    else:
        what = "that meets --where" if args.where else "(a folder with run.json, cell.json or results.json)"
        print(f"no run in {', '.join(map(str, folders))} {what}")


def _print_table(listed: "list[Listed]", rows: list[dict[str, Any]], columns: "tuple[str, ...] | list[str]") -> None:
    from rich.table import Table
    from rich.text import Text

    from declouds.runs.page import shown

    table = Table()
    for column in columns:
        numbers = any(isinstance(row.get(column), int | float) for row in rows)
        table.add_column(Text(column), justify="right" if numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(shown(column, row.get(column))) for column in columns))
    console = _console()
    console.print(table)
    for problem in dict.fromkeys(problem for entry in listed for problem in entry.problems):
        console.print(Text(problem))


def _print_json(rows: list[dict[str, Any]], columns: list[str] | None) -> None:
    import json

    chosen = [{key: row.get(key) for key in columns} if columns else row for row in rows]
    print(json.dumps(chosen, indent=1, ensure_ascii=False))


def _console() -> "Console":
    """Return the terminal's console, or, for a file or pipe, one too wide to wrap lines."""
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=1000)
