"""File layout, published split and choice of dates of SEN12MS-CR-TS, read without torch for `declouds data check`."""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from declouds.datamodules.pair_sources import sar_source
from declouds.datamodules.pairs import BandFile, Pair, images_in, natural_order
from declouds.datamodules.published import PublishedSet, split_by_place
from declouds.datamodules.sen12mscr_files import VALUE_RANGE, band_names_of
from declouds.errors import UserError, some
from declouds.sources import Source

INTERVAL = 365 / 30  # days between two dates of a place, on average
COVERS = "covers.json"
PATCH = re.compile(r".*_patch_(\d+)")
TEST = (
    "ROIs1158_106", "ROIs1868_73", "ROIs1868_100", "ROIs1868_119", "ROIs1868_142", "ROIs1970_20", "ROIs1970_132",
    "ROIs1970_139", "ROIs2017_32", "ROIs2017_63", "ROIs2017_103", "ROIs2017_108", "ROIs2017_140",
)  # fmt: skip
VAL = ("ROIs1868_17", "ROIs1868_127", "ROIs1970_65", "ROIs2017_22", "ROIs2017_117")


class Dates(NamedTuple):
    """The dates of a sample, counted from 0: the clear one, and those of the input, the image first."""

    target: int
    inputs: tuple[int, ...]


def is_sen12mscr_ts(root: Path) -> bool:
    """Tell whether a folder holds the tree of SEN12MS-CR-TS."""
    return any(_places(root))


def sen12mscr_ts(
    dates: int = 3,
    sar: bool = True,
    bands: Sequence[int] | None = None,
    choice: str = "published",
    cover: Sequence[float] = (0.0, 1.0),
    covers: str | Path = COVERS,
) -> PublishedSet:
    """Return SEN12MS-CR-TS, as samples of some dates of a patch and its clearest one.

    The 13 test places are those of Ebel et al. 2022 (TGRS 60, 5222414), the 5 for validation those of their later code
    (UnCRtainTS, Ebel et al. 2023, arXiv 2304.05464).

    Args:
        dates: dates of the input.
        sar: with the Sentinel-1 image of each date as a source.
        bands: Sentinel-2 bands to use, counted from 1.
        choice: of the dates: see `choose_dates`.
        cover: of the dates that ``published`` chooses.
        covers: the file of `declouds data covers`, relative to the folder of the data set or the working directory.

    Raises:
        UserError: an argument is not valid.
    """
    if dates < 1 or choice not in ("published", "near"):
        raise UserError(f"dates={dates}, choice={choice!r}: give 1 date or more, chosen 'published' or 'near'")
    if len(cover) != 2 or not 0 <= cover[0] <= cover[1] <= 1:
        raise UserError(f"cover={tuple(cover)}: give the lowest and highest share of cloud, from 0 to 1")
    names = band_names_of(bands)
    sources = [sar_source()] if sar else []
    for number in range(1, dates):
        days = round((_offset(number) - _offset(0)) * INTERVAL) if choice == "near" else None
        sources.append(Source(f"date{number}", "optical", names, VALUE_RANGE, days))
        sources += [sar_source(f"date{number}_sar")] if sar else []
    read = partial(
        _read,
        sar=sar,
        bands=tuple(bands) if bands else None,
        choose=partial(choose_dates, dates=dates, choice=choice, cover=(cover[0], cover[1])),
        covers=covers,
    )
    split = partial(split_by_place, val=VAL, test=TEST)
    return PublishedSet("SEN12MS-CR-TS", read, {"published": split}, VALUE_RANGE, names, tuple(sources))


def choose_dates(covers: Sequence[float], dates: int, choice: str, cover: tuple[float, float] = (0.0, 1.0)) -> Dates:
    """Choose the dates of a patch by how much of each is cloud.

    ``published``: as UnCRtainTS tests, the clear date is the one with the least cloud, and the input are the first
    dates whose cover lies within ``cover``, or the first ones of all if they are too few. Unlike there the clear date
    is never among them.

    ``near``: the input are the dates next to the clear one, in turn before and after it, the image just before it; the
    clear date is the one with the least cloud of those that have enough neighbours.

    Args:
        covers: share of cloud of each date, 0 to 1.
        dates: how many the input has.
        choice: ``published`` or ``near``.
        cover: lowest and highest share, for ``published``.

    Raises:
        UserError: there are too few dates.
    """
    if len(covers) <= dates:
        raise UserError(f"dates={dates}, but there are {len(covers)}, and one of them is the clear one: give fewer")
    if choice == "near":
        before, after = (dates + 1) // 2, dates // 2
        target = before + int(np.argmin(covers[before : len(covers) - after]))
        return Dates(target, tuple(target + _offset(number) for number in range(dates)))
    target = int(np.argmin(covers))
    others = [date for date in range(len(covers)) if date != target]
    within = [date for date in others if cover[0] <= covers[date] <= cover[1]]
    return Dates(target, tuple((within if len(within) >= dates else others)[:dates]))


def _offset(number: int) -> int:
    """Return how many dates after the clear one an input is: -1, 1, -2, 2, and so on."""
    return (number // 2 + 1) * (1 if number % 2 else -1)


def _places(root: Path) -> Iterable[tuple[str, Path]]:
    found = [path.parent for path in root.glob("ROIs*/*/S2") if re.fullmatch(r"ROIs\d+", path.parts[-3])]
    for folder in sorted(found, key=lambda path: natural_order(f"{path.parent.name}_{path.name}")):
        yield f"{folder.parent.name}_{folder.name}", folder


def checked_places(root: Path) -> list[tuple[str, Path]]:
    """Return name, such as ``ROIs1868_17``, and folder of each place.

    Raises:
        UserError: another layout.
    """
    places = list(_places(root))
    if not places:
        raise UserError(
            f"{root}: no folders ROIs1868/17/S2 and the like: give the folder into which the archives of SEN12MS-CR-TS "
            "are merged"
        )
    return places


def dates_of(region: Path, sensor: str) -> list[Path]:
    """Return the folders of the dates of a place, in order."""
    folders = [path for path in (region / sensor).glob("*") if path.name.isdigit()]
    return sorted(folders, key=lambda path: int(path.name))


def patches_of(folder: Path) -> dict[str, Path]:
    """Return patch, such as ``p12`` -> path of the images in the folder of a date.

    Raises:
        UserError: no image, or one with another name.
    """
    found = {}
    for name, path in images_in(folder).items():
        match = PATCH.fullmatch(name)
        if match is None:
            raise UserError(f"{path}: is not called ..._patch_N: remove what is not of SEN12MS-CR-TS")
        found[f"p{match[1]}"] = path
    return found


def check_whole(folders: Sequence[Path], patches: Sequence[Mapping[str, Path]]) -> None:
    """Check that every date of a place has every patch.

    Raises:
        UserError: names the first date that lacks some.
    """
    every = {patch for found in patches for patch in found}
    for folder, found in zip(folders, patches, strict=True):
        if lost := sorted(every - found.keys(), key=natural_order):
            raise UserError(f"{folder}: lacks {some(lost)}, which other dates have: unpack the archive again")


def _read(
    root: Path, sar: bool, bands: tuple[int, ...] | None, choose: Callable[[Sequence[float]], Dates], covers: str | Path
) -> list[Pair]:
    known, pairs = _read_covers(root, covers), []
    for place, region in checked_places(root):
        folders = dates_of(region, "S2")
        optical = [patches_of(folder) for folder in folders]
        check_whole(folders, optical)
        beside = [region / "S1" / folder.name for folder in folders] if sar else []
        radar = [patches_of(folder) if folder.is_dir() else {} for folder in beside]
        for patch in optical[0] if optical else ():
            name = f"{place}_{patch}"
            shares = known.get(name, [])
            if len(shares) != len(optical):
                raise UserError(
                    f"{covers}: has {len(shares)} dates of {name}, and {region / 'S2'} has {len(optical)}: write it "
                    f"again with `declouds data covers {root}`"
                )
            dates = choose(shares)
            clear, image, *others = (BandFile(optical[date][patch], bands) for date in (dates.target, *dates.inputs))
            sources: list[BandFile | None] = list(others)
            for position, date in enumerate(dates.inputs if sar else ()):  # before the next date
                path = radar[date].get(patch)
                sources.insert(2 * position, BandFile(path) if path else None)
            pairs.append(Pair(name, (image,), (clear,), sources=tuple(sources)))
    return pairs


def _read_covers(root: Path, covers: str | Path) -> dict[str, list[float]]:
    path = next((path for path in (root / covers, Path(covers)) if path.is_file()), None)
    if path is None:
        raise UserError(
            f"{root / covers}: no such file: the clear date of a patch is chosen by how much of each date is cloud: "
            f"write it once with `declouds data covers {root}`"
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {str(name): [float(share) for share in shares] for name, shares in content.items()}
    except (ValueError, OSError, AttributeError, TypeError) as error:
        raise UserError(f"{path}: is no file of covers ({error}): write it with `declouds data covers`") from error
