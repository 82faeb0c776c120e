"""Cloudy/clear pairs of image files: finding them in folders, reading headers and pixels."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from declouds.errors import UserError, some
from declouds.image_io import SUFFIXES, ImageHeader, Place, image_header, read_masked
from declouds.nodata import valid_pixels
from declouds.value_range import ValueRange


@dataclass(frozen=True)
class BandFile:
    """An image file and the bands used, counted from 1 (None: all but alpha, in order).

    With ``repeat`` each pixel stands for that many on a side, so that coarse bands lie on the grid of fine ones.
    """

    path: Path
    bands: tuple[int, ...] | None = None
    repeat: int = 1


@dataclass(frozen=True)
class Pair:
    """A cloudy and a clear image of one location; bands of several files are concatenated.

    ``sources`` are the files of further sources, None where one is missing.
    """

    name: str
    cloudy: tuple[BandFile, ...]
    clear: tuple[BandFile, ...]
    mask: Path | None = None
    sources: tuple[BandFile | None, ...] = ()

    @classmethod
    def of(
        cls, name: str, cloudy: Path, clear: Path, mask: Path | None = None, bands: tuple[int, ...] | None = None
    ) -> "Pair":
        """Return a pair with one file per image."""
        return cls(name, (BandFile(cloudy, bands),), (BandFile(clear, bands),), mask)

    @property
    def is_unpaired(self) -> bool:
        """Whether this is a clear image alone, for clouds to be simulated over it."""
        return self.cloudy == self.clear


class PairHeader(NamedTuple):
    """The file headers of a pair.

    ``has_gaps`` is True if some pixels may be nodata; ``units`` holds the scale and offset of each band;
    ``orientation``: see `declouds.image_io.orientation`.
    """

    bands: int
    height: int
    width: int
    dtype: str
    has_gaps: bool
    units: frozenset[tuple[float, float]]
    orientation: int


def read_header(pair: Pair) -> PairHeader:
    """Read the headers of all files of a pair.

    Raises:
        UserError: a band does not exist, or the files differ in size, data type or number of bands.
    """
    headers = {image: read_file_header(image) for image in pair.cloudy + pair.clear}
    first_file, first = pair.cloudy[0].path, headers[pair.cloudy[0]]
    for image, header in headers.items():
        if header[1:4] != first[1:4]:
            raise UserError(
                f"{image.path} is {_size_and_type(header)}, but {first_file} is {_size_and_type(first)}: "
                "the images of a pair must have the same size and data type"
            )
        check_same_orientation(image.path, header.orientation, first_file, first.orientation)
    bands, clear_bands = (sum(headers[image].bands for image in side) for side in (pair.cloudy, pair.clear))
    if bands != clear_bands:
        raise UserError(
            f"{pair.clear[0].path} has {clear_bands} bands, but {first_file} has {bands}: "
            "both images of a pair must have the same bands: select them with `bands`"
        )
    if pair.mask is not None:
        check_same_place("mask", pair.mask, image_header(pair.mask, palette=True), first_file, first)
    return first._replace(
        bands=bands,
        has_gaps=any(header.has_gaps for header in headers.values()),
        units=frozenset().union(*(header.units for header in headers.values())),
    )


def check_same_place(
    what: str, path: Path, header: ImageHeader | PairHeader, image: Path, image_header: PairHeader
) -> None:
    """Check that a mask or a source lies pixel by pixel on its image.

    Raises:
        UserError: they differ in size or orientation.
    """
    size, image_size = ((each.height, each.width) for each in (header, image_header))
    if size != image_size:
        raise UserError(
            f"{path} is {size[0]}x{size[1]}, but {image} is {image_size[0]}x{image_size[1]}: "
            f"a {what} must have the same size as its image"
        )
    check_same_orientation(path, header.orientation, image, image_header.orientation)


def check_same_orientation(path: Path, turn: int, other: Path, other_turn: int) -> None:
    """Check that EXIF data turn two images alike: pixels are taken as stored.

    Raises:
        UserError: they do not.
    """
    if turn != other_turn:
        raise UserError(
            f"{path} has the EXIF orientation {turn}, but {other} {other_turn}: turn the pixels of both upright "
            "(exiftran -a for JPEG), or remove the orientation if the pixels lie alike"
        )


def check_same_bands(pairs: Sequence[Pair], headers: Sequence[PairHeader]) -> None:
    """Check that all pairs have the bands and data type of the first one; sizes may differ.

    Raises:
        UserError: names the first file that differs.
    """
    for pair, header in zip(pairs, headers, strict=True):
        if (header.bands, header.dtype) != (headers[0].bands, headers[0].dtype):
            raise UserError(
                f"{pair.cloudy[0].path} has {header.bands} bands of {header.dtype}, but {pairs[0].cloudy[0].path} has "
                f"{headers[0].bands} of {headers[0].dtype}: all pairs must agree: select bands "
                "with `bands` (--bands of `data check`)"
            )


def read_bands(files: Iterable[BandFile]) -> np.ndarray:
    """Read the selected bands of the files, concatenated.

    Shapes: (C, H, W).
    Units: sensor units, as stored.

    Raises:
        UserError: a file is damaged or holds non-finite values.
    """
    parts = []
    for file in files:
        header, values, _ = read_masked(file.path, file.bands)
        values = _repeated(_chosen(values, file, header), file.repeat)
        if not np.isfinite(values).all():
            raise UserError(f"{file.path}: holds NaN or infinite values: fill them, or remove the image")
        parts.append(values)
    return np.concatenate(parts)


def read_with_gaps(
    files: Iterable[BandFile], stored_range: ValueRange | None = None, place: Place | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Read the selected bands of the files, and the mask of pixels valid in all files: see `declouds.nodata`.

    Args:
        files: the files of an image.
        stored_range: range of stored values that the sensor can measure.
        place: read this window alone, which may be without any valid pixel; of files whose pixels are not repeated.

    Shapes: (C, H, W), (H, W) bool.
    Units: sensor units, as stored.

    Raises:
        UserError: a file is damaged, or no pixel is valid.
    """
    parts, valid = [], np.array(True)
    for file in files:
        header, values, masks = read_masked(file.path, file.bands, place=place)
        chosen = _chosen(values, file, header)
        valid = valid & _repeated(valid_pixels(chosen, header.nodata, masks, stored_range), file.repeat)
        parts.append(_repeated(chosen, file.repeat))
        if place is None and not valid.any():
            raise UserError(f"{file.path}: all pixels are nodata: remove the image")
    return np.concatenate(parts), valid


def read_mask(path: Path) -> np.ndarray:
    """Read a mask of one class for each pixel; nodata 0 is class 0, since many masks of 0 and 1 have it.

    Shapes: (1, H, W).

    Raises:
        UserError: the file is damaged, has several bands that differ, or has pixels without a class.
    """
    header, values, masks = read_masked(path, palette=True)
    classes = values[[band - 1 for band in header.image_bands]]
    known = valid_pixels(classes[:1], header.nodata or None, masks)
    if not known.all():
        nodata = "" if header.nodata is None else f"its nodata value is {header.nodata:g}; "
        raise UserError(
            f"{path}: {1 - known.mean():.2%} of its pixels have no class ({nodata}NaN and its own mask count too): "
            "give them one; if its nodata value is one, unset it (gdal_edit.py -unsetnodata)"
        )
    if (classes != classes[:1]).any():
        raise UserError(
            f"{path}: has {len(classes)} bands that differ, and a mask has one: take that out (gdal_translate -b N)"
        )
    return classes[:1]


def _chosen(values: np.ndarray, file: BandFile, header: ImageHeader) -> np.ndarray:
    """Return the selected bands of a file."""
    bands = file.bands or header.image_bands
    return values if bands == tuple(range(1, len(values) + 1)) else values[[band - 1 for band in bands]]


def _repeated(pixels: np.ndarray, times: int) -> np.ndarray:
    """Return an image or a mask with each pixel repeated. Shapes: (..., H, W) -> (..., times * H, times * W)."""
    return pixels if times == 1 else pixels.repeat(times, axis=-2).repeat(times, axis=-1)


def read_file_header(image: BandFile) -> PairHeader:
    """Read the header of one file.

    Raises:
        UserError: a selected band does not exist.
    """
    header = image_header(image.path)
    bands = image.bands or header.image_bands
    missing = [band for band in bands if not 1 <= band <= header.bands]
    if missing:
        raise UserError(
            f"{image.path} has no band {some([str(band) for band in missing])}: choose from bands 1 to {header.bands}"
        )
    units = frozenset(header.units[band - 1] for band in bands)
    height, width = header.height * image.repeat, header.width * image.repeat
    return PairHeader(len(bands), height, width, header.dtype, header.has_gaps, units, header.orientation)


def _size_and_type(header: PairHeader) -> str:
    return f"{header.height}x{header.width} {header.dtype}"


PARTS = ("train", "val", "test")


def natural_order(name: str) -> list[str | int]:
    """Return a sort key that orders '9' before '10'."""
    return [int(piece) if piece.isdigit() else piece for piece in re.split(r"(\d+)", name)]


def images_in(folder: Path) -> dict[str, Path]:
    """Return file name without suffix -> path, in natural order, of all images in a folder.

    Raises:
        UserError: missing folder, no images, a name that is not UTF-8, or two images with the same name.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder: check the path and folder names")
    images: dict[str, Path] = {}
    for path in folder.iterdir():
        if path.suffix.lower() not in SUFFIXES or path.name.startswith("."):
            continue
        if not _is_text(path.name):
            raise UserError(f"{folder}: the file name {path.name!r} is not UTF-8: rename the file")
        if path.stem in images:
            raise UserError(f"{path} and {images[path.stem].name} have the same name: remove one of them")
        images[path.stem] = path
    if not images:
        raise UserError(f"{folder}: holds no image ({', '.join(SUFFIXES)}): check the path and folder names")
    return {name: images[name] for name in sorted(images, key=natural_order)}


def pairs_in(
    root: Path,
    cloudy: str = "cloud",
    clear: str = "label",
    mask: str | None = None,
    bands: Sequence[int] | None = None,
    match: str | None = None,
    sources: Sequence[tuple[str, tuple[int, ...] | None]] = (),
) -> list[Pair]:
    """Pair the images of ``root/cloudy`` with those of the same name in ``root/clear`` (and ``root/mask``).

    Args:
        root: the folder of the folders.
        cloudy: folder of the cloudy images, whose names are those of the pairs.
        clear: folder of the clear images.
        mask: folder of the masks.
        bands: bands of the images, counted from 1.
        match: a regular expression; names are the same if its groups (without any: all of it) match the same text.
        sources: folder and bands of each further source, which may lack some images.

    Raises:
        UserError: a folder is missing or empty, an image has no partner, ``match`` does not match a name or gives two
            images of a folder the same, or no image of a source belongs to a pair.
    """
    cloudy_files, clear_files = (_keyed(root / folder, match) for folder in (cloudy, clear))
    mask_files = _keyed(root / mask, match) if mask else {}
    check_partners(root / cloudy, cloudy_files, root / clear, clear_files)
    if mask:
        check_partners(root / cloudy, cloudy_files, root / mask, mask_files)
    source_files = [_keyed(root / folder, match) for folder, _ in sources]
    for (folder, _), files in zip(sources, source_files, strict=True):
        if not files.keys() & cloudy_files.keys():
            raise UserError(
                f"{root / folder}: none of its images ({some(list(files))}) has the name of one in {root / cloudy} "
                f"({some(list(cloudy_files))}): rename them, or give match='...' for what the names share"
            )
    chosen = tuple(bands) if bands else None
    pairs = []
    for key, path in cloudy_files.items():
        beside = tuple(
            BandFile(files[key], own) if key in files else None
            for (_, own), files in zip(sources, source_files, strict=True)
        )
        images = BandFile(path, chosen), BandFile(clear_files[key], chosen)
        pairs.append(Pair(path.stem, images[:1], images[1:], mask_files.get(key), beside))
    return pairs


def _keyed(folder: Path, match: str | None) -> dict[str, Path]:
    """Return what names have in common with those of other folders -> path of each image in a folder."""
    files = images_in(folder)
    if match is None:
        return files
    try:
        pattern = re.compile(match)
    except re.error as error:
        raise UserError(f"match={match!r} is no regular expression ({error}): correct it") from error
    keyed: dict[str, Path] = {}
    for name, path in files.items():
        found = pattern.search(name)
        if found is None:
            raise UserError(f"{path}: match={match!r} does not match its name: correct it, or remove the image")
        key = "_".join(group or "" for group in found.groups()) or found[0]
        if key in keyed:
            raise UserError(
                f"{path} and {keyed[key].name}: match={match!r} takes both for {key!r}: let it tell them apart"
            )
        keyed[key] = path
    return keyed


def check_partners(folder: Path, files: dict[str, Path], other: Path, other_files: dict[str, Path]) -> None:
    """Check that two folders hold images with the same names.

    Raises:
        UserError: lists the names found in only one of them.
    """
    only = [name for name in files if name not in other_files]
    only_other = [name for name in other_files if name not in files]
    if only or only_other:
        sides = [f"only in {where}: {some(names)}" for where, names in ((folder, only), (other, only_other)) if names]
        raise UserError(f"images without a partner, {'; '.join(sides)}: add the partner or remove the image")


def part_folders(root: Path) -> dict[str, Path]:
    """Return the folders ``train``, ``val`` and ``test`` that exist below ``root``."""
    return {part: root / part for part in PARTS if (root / part).is_dir()}


def _is_text(name: str) -> bool:
    """Return whether a file name is valid text: undecodable bytes arrive as lone surrogates."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
