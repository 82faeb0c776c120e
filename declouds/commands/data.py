"""`declouds data`: check and split data sets before training, and find the clouds of SEN12MS-CR-TS."""

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.table import Table

    from declouds.datamodules.doctor import Diagnosis
    from declouds.datamodules.pair_units import Given

T = TypeVar("T")
HELP = "check a data set of cloudy and clear images, split it, or find the clouds of SEN12MS-CR-TS"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `declouds data check`, `declouds data split` and `declouds data covers`."""
    tasks = parser.add_subparsers(dest="task", required=True, metavar="TASK")
    text = "open every file, compare pairs, find duplicates; exit code 2 if training would fail"
    check = tasks.add_parser("check", help=text, description=text)
    text = "write a split file that keeps images of the same location in one part"
    split = tasks.add_parser("split", help=text, description=text)
    for task in (check, split):
        task.add_argument("folder", type=Path, metavar="DIR", help="folder of the data set")
        task.add_argument(
            "--cloudy", default="cloud", metavar="NAME", help="subfolder of cloudy images (default: cloud)"
        )
        task.add_argument("--clear", default="label", metavar="NAME", help="subfolder of clear images (default: label)")
        group = task.add_argument_group("units, as in the config of the data module")
        group.add_argument(
            "--value-range", type=float, nargs=2, metavar=("LOW", "HIGH"), help="model values of -1 and 1"
        )
        group.add_argument("--scale", type=float, metavar="S", help="scale (default: from the files)")
        group.add_argument("--offset", type=float, metavar="O", help="offset (default: from the files)")
    check.add_argument(
        "--mask", default="mask", metavar="NAME", help="subfolder of cloud masks, if any (default: mask)"
    )
    check.add_argument("--bands", type=_bands, metavar="N,N,...", help="bands to use, like bands=[...] in a config")
    check.add_argument(
        "--unpaired", action="store_true", help="DIR holds clear images alone, for the data module CloudedImages"
    )
    check.add_argument(
        "--split", metavar="FILE", help="split file or shipped split (default: DIR/split.json if it exists)"
    )
    text = "write how much of each date of SEN12MS-CR-TS is cloud, by which its samples are chosen"
    covers = tasks.add_parser("covers", help=text, description=text)
    covers.add_argument("folder", type=Path, metavar="DIR", help="folder of the data set")
    covers.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="the JSON file to write (default: DIR/covers.json)"
    )
    split.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="the JSON file to write")
    split.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the split (default: 0)")
    split.add_argument(
        "--fractions",
        type=float,
        nargs="+",
        default=[0.8, 0.2],
        metavar="F",
        help="train test, or train val test (default: 0.8 0.2)",
    )
    split.add_argument(
        "--group", metavar="REGEX", help="keep images together in whose names this matches the same text"
    )
    split.add_argument("--block", type=int, metavar="N", help="keep images numbered 0 to N-1, N to 2N-1, ... together")


def run(args: argparse.Namespace) -> None:
    """Run one of the tasks."""
    {"check": _check, "split": _split, "covers": _covers}[args.task](args)


def _check(args: argparse.Namespace) -> None:
    from rich.console import Console

    from declouds.datamodules.doctor import examine
    from declouds.datamodules.layout import EXPECTED, recognise, unpaired
    from declouds.errors import UserError

    console = Console(width=None if sys.stdout.isatty() else 160)  # rich folds a table at 80 in a log file
    if args.unpaired:
        subsets = unpaired(args.folder, args.bands)
    else:
        subsets = recognise(args.folder, args.cloudy, args.clear, args.mask, args.split, args.bands)
    if not subsets:
        console.print(f"Expected layouts:\n{EXPECTED}", markup=False, highlight=False, soft_wrap=True)
        raise UserError(
            f"{args.folder}: no data set recognised: arrange the files in one of the layouts above, or "
            "say --unpaired if they are clear images alone"
        )
    diagnosis = examine(subsets, _given(args), _progress)
    console.print(_table(diagnosis))
    for kind, colour, findings in (("fault", "red", diagnosis.faults), ("warning", "yellow", diagnosis.warnings)):
        for finding in findings:
            console.print(f"[{colour}]{kind}[/]: ", end="")
            console.print(finding, markup=False, highlight=False, soft_wrap=True)
    if diagnosis.faults:
        raise UserError(f"{args.folder}: {len(diagnosis.faults)} faults would break training: fix those listed above")
    console.print(f"ready for training, {len(diagnosis.warnings)} warnings")


def _split(args: argparse.Namespace) -> None:
    from declouds.datamodules.make_split import make_split
    from declouds.datamodules.pairs import pairs_in
    from declouds.datamodules.splits import write_split
    from declouds.errors import UserError

    if args.output.exists():
        raise UserError(f"{args.output} already exists: choose another name, or remove it")
    pairs = pairs_in(args.folder, args.cloudy, args.clear)
    made = make_split(pairs, args.fractions, args.seed, args.group, args.block, given=_given(args), track=_progress)
    kept = (
        f"group {args.group!r}" if args.group else f"blocks of {args.block} numbers" if args.block else "nothing else"
    )
    about = f"declouds data split: seed {args.seed}; kept together: similar images (perceptual hash) and {kept}"
    write_split(args.output, made.parts, about)
    counts = ", ".join(f"{part} {len(names)}" for part, names in made.parts.items())
    together = sum(len(group) for group in made.groups)
    print(f"{args.output}: {counts}; {together} images kept together in {len(made.groups)} groups")


def _covers(args: argparse.Namespace) -> None:
    from declouds.datamodules.cloud_covers import write_covers
    from declouds.datamodules.sen12mscr_ts_files import COVERS
    from declouds.progress import tracked

    path = args.output or args.folder / COVERS
    count = write_covers(args.folder, path, lambda folders: tracked(folders, "finding clouds"))
    print(f"{path}: the clouds of all dates of {count} patches")


def _given(args: argparse.Namespace) -> "Given":
    """Return the units given on the command line."""
    from declouds.datamodules.pair_units import Given
    from declouds.errors import UserError

    if args.value_range is None and (args.scale is not None or args.offset is not None):
        raise UserError("--scale and --offset: the scaled values have no known range: give --value-range LOW HIGH too")
    return Given(args.value_range, args.scale, args.offset)


def _bands(text: str) -> list[int]:
    """Return the numbers of a comma-separated list."""
    try:
        return [int(number) for number in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a comma-separated list of band numbers such as 1,2,3"
        ) from None


def _progress(pairs: Sequence[T]) -> Iterable[T]:
    from declouds.progress import tracked

    return tracked(pairs, "reading pairs")


def _table(diagnosis: "Diagnosis") -> "Table":
    from rich.box import SIMPLE
    from rich.table import Table

    table = Table(box=SIMPLE, padding=(0, 1, 0, 0))
    for column in ("part", "pairs", "bands", "size", "type", "cloudy", "clear", "mask values"):
        table.add_column(column, overflow="fold")
    for examined in diagnosis.examined:
        headers = examined.headers
        table.add_row(
            examined.subset.title,
            str(len(examined.subset.pairs)),
            _all(str(header.bands) for header in headers),
            _all(f"{header.height}x{header.width}" for header in headers),
            _all(header.dtype for header in headers),
            _span(examined.cloudy_values),
            _span(examined.clear_values),
            ", ".join(f"{value:g}" for value in sorted(examined.mask_values)[:6]) or "none",
        )
    return table


def _all(values: Iterable[str]) -> str:
    different = sorted(set(values))
    return ", ".join(different[:3]) + (", ..." if len(different) > 3 else "") or "?"


def _span(values: list[tuple[float, float]]) -> str:
    return f"{min(low for low, _ in values):g} to {max(high for _, high in values):g}" if values else "?"
