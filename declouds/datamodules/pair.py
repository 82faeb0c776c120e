"""A cloudy/clear pair of image files: what it is, what its headers tell, and its pixels."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from declouds.errors import UserError
from declouds.image_io import image_size, read_image


@dataclass(frozen=True)
class BandFile:
    """An image file and the bands taken from it, counted from 1 (None: all of them, in order)."""

    path: Path
    bands: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Pair:
    """One place, cloudy and clear; the bands of several files follow one another."""

    name: str
    cloudy: tuple[BandFile, ...]
    clear: tuple[BandFile, ...]
    mask: Path | None = None

    @classmethod
    def of(
        cls, name: str, cloudy: Path, clear: Path, mask: Path | None = None, bands: tuple[int, ...] | None = None
    ) -> "Pair":
        """Return a pair of one file each."""
        return cls(name, (BandFile(cloudy, bands),), (BandFile(clear, bands),), mask)


class PairHeader(NamedTuple):
    """Bands, height, width and type of a pair, as its file headers tell."""

    bands: int
    height: int
    width: int
    dtype: str


def some(names: Sequence[str], most: int = 5) -> str:
    """Return the first few names as text, and how many there are in all."""
    listed = ", ".join(names[:most])
    return listed if len(names) <= most else f"{listed}, ... ({len(names)} in all)"


def read_header(pair: Pair) -> PairHeader:
    """Read the headers of all files of a pair.

    Raises:
        UserError: a band does not exist, or the files differ in size, type or number of bands.
    """
    headers = {image: _header_of(image) for image in pair.cloudy + pair.clear}
    first_file, first = pair.cloudy[0].path, headers[pair.cloudy[0]]
    for image, header in headers.items():
        if header[1:] != first[1:]:
            raise UserError(
                f"{image.path} is {_words(header)}, but {first_file} is {_words(first)}: "
                "the images of a pair must have one size and one type"
            )
    bands, clear_bands = (sum(headers[image].bands for image in side) for side in (pair.cloudy, pair.clear))
    if bands != clear_bands:
        raise UserError(
            f"{pair.clear[0].path} has {clear_bands} bands, but {first_file} has {bands}: "
            "both images of a pair must have the same bands (choose them with `bands`)"
        )
    if pair.mask is not None:
        mask = image_size(pair.mask)
        if (mask.height, mask.width) != (first.height, first.width):
            raise UserError(
                f"{pair.mask} is {mask.height}x{mask.width}, but {first_file} is {first.height}x{first.width}: "
                "a mask must have the size of its image"
            )
    return first._replace(bands=bands)


def check_same_bands(pairs: Sequence[Pair], headers: Sequence[PairHeader]) -> None:
    """Check that all pairs have the bands and the type of the first one; sizes may differ.

    Raises:
        UserError: they have not; the message names the first file that differs.
    """
    for pair, header in zip(pairs, headers, strict=True):
        if (header.bands, header.dtype) != (headers[0].bands, headers[0].dtype):
            raise UserError(
                f"{pair.cloudy[0].path} has {header.bands} bands of {header.dtype}, but {pairs[0].cloudy[0].path} has "
                f"{headers[0].bands} of {headers[0].dtype}: all pairs must agree (choose bands with `bands`)"
            )


def read_bands(files: Iterable[BandFile]) -> np.ndarray:
    """Read the chosen bands of the files, one after another.

    Shapes: (C, H, W).
    Units: sensor units, as stored.

    Raises:
        UserError: a file is broken, or holds values that are not finite numbers.
    """
    parts = []
    for file in files:
        image = read_image(file.path)
        if not np.isfinite(image).all():
            raise UserError(f"{file.path}: holds NaN or infinite values: fill them, or leave the image out")
        parts.append(image if file.bands is None else image[[band - 1 for band in file.bands]])
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _header_of(image: BandFile) -> PairHeader:
    count, height, width, dtype = image_size(image.path)
    missing = [band for band in image.bands or () if not 1 <= band <= count]
    if missing:
        raise UserError(
            f"{image.path} has bands 1 to {count}: there is no band {some([str(band) for band in missing])}"
        )
    return PairHeader(len(image.bands) if image.bands else count, height, width, dtype)


def _words(header: PairHeader) -> str:
    return f"{header.height}x{header.width} {header.dtype}"
