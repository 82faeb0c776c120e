"""`declouds fetch`: dates of one place from a STAC API."""

import argparse
import datetime
import re
import shlex
from pathlib import Path
from typing import Any

HELP = "fetch a cloudy date and clear ones of one place from a STAC API, cropped to a box, for predict --target"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--stac", required=True, metavar="API", help="address of a STAC API, as https://host/v1")
    parser.add_argument("--collection", required=True, metavar="ID", help="such as sentinel-2-l2a")
    parser.add_argument(
        "--bbox", required=True, metavar="W,S,E,N", help="the place: west, south, east, north in degrees"
    )
    parser.add_argument(
        "--datetime", required=True, metavar="DAY/DAY", help="first and last day, as 2024-06-01/2024-08-31"
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="folder for the files")
    parser.add_argument(
        "--target", metavar="DAY", help="the day to be cleared (default: the latest that covers the box)"
    )
    parser.add_argument("--dates", type=int, default=4, metavar="N", help="other days, clear and near in time (4)")
    parser.add_argument(
        "--max-cloud", type=float, default=60.0, metavar="P", help="per cent of cloud that one of them may have (60)"
    )
    parser.add_argument(
        "--bands",
        default="red,green,blue,nir",
        metavar="B,B,...",
        help="assets, or common names of bands (default: red,green,blue,nir)",
    )
    parser.add_argument("--dry-run", action="store_true", help="list what would be fetched, and write nothing")


def run(args: argparse.Namespace) -> None:
    """Search, fetch, and print the command that comes next."""
    from declouds.errors import UserError
    from declouds.fetching.fetch import Request, fetch, plan

    if args.output.exists() and not args.output.is_dir():
        raise UserError(f"{args.output}: is a file, and files go into a folder: choose another one (-o)")
    if args.dates < 0 or not 0 <= args.max_cloud <= 100:
        raise UserError(
            f"--dates {args.dates} --max-cloud {args.max_cloud:g}: 0 or more days, and 0 to 100 per cent of cloud"
        )
    request = Request(
        *(args.stac, args.collection, _box(args.bbox), _days(args.datetime)),
        bands=[band.strip() for band in args.bands.split(",") if band.strip()],
        target=None if args.target is None else _day("--target", args.target),
        **dict(count=args.dates, most_cloud=args.max_cloud),
    )
    chosen = plan(request, args.output)
    _print_plan(chosen)
    if args.dry_run:
        print("nothing was fetched: leave out --dry-run to fetch these")
        return
    fetch(chosen, args.output)
    print(f"next: {_next(chosen, args.output)}")


def _print_plan(chosen: Any) -> None:
    """Print which days are fetched, and how large they are."""
    print(f"{chosen.grid.width} x {chosen.grid.height} pixels, {chosen.grid.crs.to_string()}")
    for dated in (chosen.target, *chosen.others):
        cloud = "cloud unknown" if dated.cloud is None else f"{dated.cloud:.0f} % cloud"
        what = "to be cleared" if dated is chosen.target else "to fill it"
        name = "".join(letter if letter.isprintable() else "?" for letter in dated.item.id)  # a terminal obeys others
        print(f"{dated.day} {name}: {cloud}, {what}")
    todo = [file for file in chosen.files if not file.complete]
    size = sum(file.size for file in todo) / 1e6
    there = f", {len(chosen.files) - len(todo)} are there already" if len(todo) < len(chosen.files) else ""
    print(f"{len(todo)} file{'' if len(todo) == 1 else 's'} of {size:.3g} MB before compression{there}")


def _next(chosen: Any, folder: Path) -> str:
    """Return the command that clears what was fetched."""
    folder = Path(*folder.parts)
    result = folder.with_name(f"{folder.resolve().name}_{chosen.target.day}_clear.tif")
    if chosen.others:
        words = ["declouds", "predict", str(folder), "--target", str(chosen.target.day), "-o", str(result)]
    else:
        words = ["declouds", "predict", str(folder / f"{chosen.target.day}.tif"), "-o", str(result)]
    return shlex.join(words)


def _box(text: str) -> tuple[float, float, float, float]:
    """Return west, south, east and north."""
    from declouds.errors import UserError

    try:
        west, south, east, north = map(float, text.split(","))
    except ValueError:
        raise UserError(f"--bbox {text}: give west,south,east,north in degrees, as 13.1,52.3,13.4,52.5") from None
    if max(abs(west), abs(east)) > 180 or max(abs(south), abs(north)) > 90:
        raise UserError(f"--bbox {text}: are no degrees of longitude and latitude: convert them from their projection")
    if not (west < east and south < north):
        raise UserError(f"--bbox {text}: the order is west,south,east,north: west below east, and south below north")
    return west, south, east, north


def _days(text: str) -> str:
    """Return the first and the last day."""
    from declouds.errors import UserError

    if re.fullmatch(r"[^/]+/[^/]+", text) is None:
        raise UserError(f"--datetime {text}: give the first and the last day, as 2024-06-01/2024-08-31")
    first, last = (_day("--datetime", part) for part in text.split("/"))
    if first > last:
        raise UserError(f"--datetime {text}: the first day is after the last one: swap them")
    return f"{first}/{last}"


def _day(flag: str, text: str) -> datetime.date:
    from declouds.errors import UserError

    try:
        return datetime.date.fromisoformat(text.strip())
    except ValueError:
        raise UserError(f"{flag} {text}: is no day: write it as 2024-06-25") from None
