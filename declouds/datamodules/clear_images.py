"""Clear images in folders: which files and bands, in which part, and windows of them without decoding the rest."""

import itertools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from declouds.datamodules.pairs import PARTS, Pair, PairHeader, natural_order, part_folders
from declouds.datamodules.splits import choose, find_split, with_validation
from declouds.errors import UserError, some
from declouds.image_io import SUFFIXES, ImageHeader, Place, image_header
from declouds.wavelengths import wavelength_of

COLOURS = ("red", "green", "blue")
BRIGHT, SPREAD, SHARE = 0.8, 0.08, 0.25  # what looks like cloud is so bright and so grey; over that share it is noted
VISIBLE = 0.75  # micrometres


Bands = Sequence[str] | Mapping[str, int]  # names, or name -> number in the files


def clear_images(roots: Sequence[Path], bands: Bands | None = None) -> tuple[list[Pair], tuple[str, ...]]:
    """Find all images below some folders, and the bands to take from each.

    An image is a `Pair` of itself, so that whatever checks pairs checks it. Its name is its path below the folder, with
    ``__`` between folders.

    Args:
        roots: folders, searched with all their subfolders, and image files.
        bands: names of the bands to take, in this order, or name -> number, from 1, in files that do not name them; by
            default those that the first file names, or red, green and blue for three bands without names. See
            `bands_of`.

    Returns:
        The images in natural order, and the names of their bands.

    Raises:
        UserError: no image, two of one name, or bands that are missing or have no names.
    """
    found = images_below(roots)
    names = sorted(found, key=natural_order)
    wanted = tuple(bands) if bands else _own_names(found[names[0]])
    given = tuple(bands.values()) if isinstance(bands, Mapping) else None
    images = [Pair.of(name, found[name], found[name], bands=given or bands_of(found[name], wanted)) for name in names]
    return images, wanted


def images_below(roots: Sequence[Path]) -> dict[str, Path]:
    """Return name -> path of image files, and of all in some folders and their subfolders; hidden ones are left out.

    Raises:
        UserError: there is none, two have one name, or a folder lies in another one.
    """
    for inner, outer in itertools.permutations(roots, 2):
        if inner.resolve().is_relative_to(outer.resolve()):
            raise UserError(f"{inner} lies in {outer}, so that its images would be taken twice: give one of them")
    found: dict[str, Path] = {}
    for root in roots:
        for path in sorted(root.rglob("*")) if root.is_dir() else [root]:
            inside = path.relative_to(root if root.is_dir() else root.parent)
            hidden = any(part.startswith(".") for part in inside.parts)
            if path.suffix.lower() not in SUFFIXES or hidden or not path.is_file():
                continue
            name = "__".join(inside.with_suffix("").parts)
            if name in found:
                raise UserError(f"{path} and {found[name]} would both be called {name}: rename one of them")
            found[name] = path
    if not found:
        listed = ", ".join(str(root) for root in roots)
        raise UserError(f"{listed}: holds no image ({', '.join(SUFFIXES)}), nor do its subfolders: check the path")
    return found


def _own_names(path: Path) -> tuple[str, ...]:
    header = image_header(path)
    names = tuple(header.names[band - 1] for band in header.image_bands)
    if all(names):
        return names
    if len(names) == len(COLOURS) and not any(names):
        return COLOURS
    raise UserError(f"{path}: {len(names)} bands, not all of which the file names: say which they are with `bands`")


def bands_of(path: Path, wanted: Sequence[str]) -> tuple[int, ...]:
    """Return the numbers, from 1, of the bands called ``wanted``.

    They are found by name (or by another name of the same wavelength, as B04 for red) if the file names them; else, if
    there are as many as wanted, they are taken in order: a picture in red, green and blue may show any three bands.

    Raises:
        UserError: some are named and others are not, or their number differs.
    """
    header = image_header(path)
    places = [_place_of(name, header) for name in wanted]
    if None not in places and len(set(places)) == len(places):
        return tuple(band for band in places if band is not None)
    named = any(place is not None for place in places) and not set(filter(None, header.names)) <= set(COLOURS)
    if named or len(header.image_bands) != len(wanted):
        listed = ", ".join(f"{band} = {name}" if name else f"{band}" for band, name in enumerate(header.names, 1))
        raise UserError(
            f"{path}: has bands {listed}, and {', '.join(wanted)} are wanted: correct `bands`, or give it as name -> "
            "number"
        )
    return header.image_bands


def _place_of(name: str, header: ImageHeader) -> int | None:
    """Return the number of the only band of that name, or else of that wavelength."""
    for key in (_plain, wavelength_of):
        found = [band for band, own in enumerate(header.names, 1) if own and key(own) == key(name)]
        if len(found) == 1 and key(name) is not None:
            return found[0]
    return None


def _plain(name: str) -> str:
    return re.sub(r"\s+", " ", name.strip().lower())


def split_images(
    roots: Sequence[Path],
    bands: Bands | None,
    split: str | Path | Mapping[str, Any] | None,
    val: float | None,
    test: float | None,
    seed: int,
) -> tuple[dict[str, list[Pair]], tuple[str, ...]]:
    """Return part -> images, and the names of their bands.

    Without ``split``, ``test`` and ``val`` are fractions of all images, held out by a hash of ``seed`` and name.
    'folders' takes the folders ``train``, ``val`` and ``test`` below each root, anything else is a split file:
    `find_split`.

    Raises:
        UserError: see `clear_images`; a split that does not fit, or too few images to hold some out.
    """
    if split == "folders":
        below = {part: [part_folders(root)[part] for root in roots if part in part_folders(root)] for part in PARTS}
        if not below["train"]:
            raise UserError(f"{roots[0]}: has no folder train, which split='folders' needs")
        found = {part: clear_images(folders, bands) for part, folders in below.items() if folders}
        names = found["train"][1]
        return with_validation({part: images for part, (images, _) in found.items()}, val, seed), names
    images, names = clear_images(roots, bands)
    if split is not None:
        chosen = find_split(split, roots[0])
        parts = {part: choose(images, chosen, part) for part in chosen.parts}
        return with_validation(parts, val, seed), names
    if (val or 0) + (test or 0) >= 1:
        raise UserError(f"val={val}, test={test}: these fractions of the images leave none to train on")
    needed = 1 + (val is not None) + (test is not None)
    if len(images) < needed:
        raise UserError(
            f"{some([image.name for image in images])}: {len(images)} image(s) cannot be divided into {needed} parts: "
            "add images, or set test=None, val=None"
        )
    held = with_validation({"train": images}, test, seed)
    parts = {"train": held["train"], "test": held.get("val", [])}
    return with_validation(parts, None if val is None else val / (1 - (test or 0)), seed), names


def strip_of(header: PairHeader, part: str, val: float, test: float) -> Place:
    """Return the strip of an image that belongs to a part: along the longer side come train, then val, then test.

    Args:
        header: of the image.
        part: 'train', 'val' or 'test'.
        val: fraction of the image for validation.
        test: fraction for testing.
    """
    length = max(header.height, header.width)
    test_begin = length - round(length * test)
    val_begin = test_begin - round(length * val)
    begin, end = {"train": (0, val_begin), "val": (val_begin, test_begin), "test": (test_begin, length)}[part]
    if header.height >= header.width:
        return begin, 0, end - begin, header.width
    return 0, begin, header.height, end - begin


def looks_cloudy(image: np.ndarray, wavelengths: Sequence[float]) -> bool:
    """Tell whether a quarter of an image is bright and white in its visible bands, or in all if fewer than two are.

    Shapes: (C, H, W).
    Units: [0, 1].
    """
    visible = image[np.asarray(wavelengths) < VISIBLE]
    seen = visible if len(visible) > 1 else image
    return bool(np.mean((seen.min(0) > BRIGHT) & (np.ptp(seen, axis=0) < SPREAD)) > SHARE)
