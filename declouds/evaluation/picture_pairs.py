"""Result and clear images, paired by file name and checked before they are measured."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from declouds.datamodules.pairs import (
    BandFile,
    check_partners,
    check_same_orientation,
    images_in,
    read_mask,
    read_with_gaps,
)
from declouds.datamodules.splits import digest, find_split
from declouds.errors import UserError, some
from declouds.image_io import ImageHeader, image_header
from declouds.nodata import fill_nodata
from declouds.units import is_dark, is_outside
from declouds.value_range import ValueRange


class PicturePair(NamedTuple):
    """The files of one image."""

    name: str
    result: Path
    clear: Path
    mask: Path | None


def find_pairs(
    result_folder: Path, clear_folder: Path, mask_folder: Path | None = None, names: Sequence[str] | None = None
) -> list[PicturePair]:
    """Pair images by file name without suffix, all or only ``names``, and check them from their headers.

    Raises:
        UserError: a folder is missing or empty, an image has no partner, two have the same name, or a pair differs in
            size, bands, EXIF orientation or data type (types other than 8-bit may differ, since floats in the same
            units are common).
    """
    folders = [folder for folder in (result_folder, clear_folder, mask_folder) if folder is not None]
    images = {folder: images_in(folder) for folder in folders}
    if names is None:
        for folder in folders[1:]:
            check_partners(result_folder, images[result_folder], folder, images[folder])
        names = list(images[result_folder])
    for folder in folders:
        missing = [name for name in names if name not in images[folder]]
        if missing:
            raise UserError(f"{folder}: lacks {some(missing)} of the split: add the images, or choose another split")
    pairs = [
        PicturePair(
            name,
            images[result_folder][name],
            images[clear_folder][name],
            None if mask_folder is None else images[mask_folder][name],
        )
        for name in names
    ]
    for pair in pairs:
        _check_headers(pair)
    return pairs


def read_split(text: str) -> tuple[list[str], dict[str, Any]]:
    """Read the image names of ``FILE:NAME``, or of ``FILE`` if it has a single list; FILE may be a shipped split.

    Returns:
        the names, and a record of their origin with a digest of the list.

    Raises:
        UserError: no such split file, or no such list in it; the message names its lists.
    """
    file, colon, part = text.rpartition(":")
    if not colon or Path(text).is_file():
        file, part = text, ""
    split = find_split(file, Path())
    if not part and len(split.parts) == 1:
        (part,) = split.parts
    if part not in split.parts:
        have = ", ".join(f"{file}:{name}" for name in split.parts)
        raise UserError(f"--split {text}: name one list of the file: {have}")
    names = list(split.parts[part])
    if not names:
        raise UserError(f"--split {text}: the list is empty: choose another")
    return names, {"split": split.name, "part": part, "count": len(names), "digest": digest(names)}


def read_pair(
    pair: PicturePair, value_range: ValueRange | None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
    """Return result, clear, mask, and the valid pixels of the clear image (None if all are).

    Without a value range the images must be 8-bit.

    Shapes: (C, H, W), mask and valid (1, H, W).
    Units: images in [-1, 1]; the mask is 1 where its class is above 0.

    Raises:
        UserError: an image is damaged, has a data type without a known range, or lies outside the range; or the result
            has nodata where the clear image is valid; or the mask is none, see `read_mask`.
    """
    images, known = [], []
    for path in (pair.result, pair.clear):
        values, valid = read_with_gaps([BandFile(path)], value_range)
        units = value_range or ValueRange.of_dtype(values.dtype)
        taken = values[:, valid]
        low, high = taken.min(), taken.max()
        if is_outside(taken, units) or (taken.dtype.kind == "f" and low < high and is_dark(taken, units)):
            raise UserError(
                f"{path}: all values ({low:g} to {high:g}) or 99 % of them lie outside {units}, or at its dark "
                "end: give their value range by --value-range"
            )
        images.append(torch.from_numpy(units.to_model(fill_nodata(values, valid))))
        known.append(valid)
    if (known[1] & ~known[0]).any():
        raise UserError(
            f"{pair.result}: holds NaN, infinite values or nodata where {pair.clear} is valid: fill them, or "
            "remove the image"
        )
    mask = None if pair.mask is None else torch.from_numpy(read_mask(pair.mask) > 0).float()
    return images[0], images[1], mask, None if known[1].all() else torch.from_numpy(known[1])[None]


def _check_headers(pair: PicturePair) -> None:
    result, clear = image_header(pair.result), image_header(pair.clear)
    if _kind(result) != _kind(clear):
        raise UserError(
            f"{pair.result}: is {_size(result)}, but {pair.clear} is {_size(clear)}: "
            "give images of the same bands and size; nothing is resized or cropped"
        )
    if result.dtype != clear.dtype and "uint8" in (result.dtype, clear.dtype):
        raise UserError(f"{pair.result}: is {result.dtype}, but {pair.clear} is {clear.dtype}: save both as one type")
    check_same_orientation(pair.result, result.orientation, pair.clear, clear.orientation)
    if pair.mask is None:
        return
    mask = image_header(pair.mask, palette=True)
    if mask[1:3] != clear[1:3]:
        raise UserError(f"{pair.mask}: is {_size(mask)}, but {pair.clear} is {_size(clear)}: give an equal size")
    check_same_orientation(pair.mask, mask.orientation, pair.clear, clear.orientation)


def _kind(header: ImageHeader) -> tuple[int, int, int]:
    """Return the number of image bands, height and width."""
    return len(header.image_bands), header.height, header.width


def _size(header: ImageHeader) -> str:
    bands, height, width = _kind(header)
    return f"{height} x {width} pixels with {bands} bands"
