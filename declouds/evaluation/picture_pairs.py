"""Result pictures and clear pictures, paired by file name and checked before anything is measured."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from declouds.datamodules.pairs import BandFile, check_partners, images_in, read_with_gaps
from declouds.datamodules.splits import digest, find_split
from declouds.errors import UserError, some
from declouds.image_io import image_header, read_image
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
    """Pair pictures by file name without suffix, all of them or those of ``names``, and check them from their headers.

    Raises:
        UserError: a folder is missing or empty, a picture lacks its partner, two have one name, or a pair differs in
            size, bands or data type (types other than 8-bit may differ, since floats of the same units are common).
    """
    folders = [folder for folder in (result_folder, clear_folder, mask_folder) if folder is not None]
    pictures = {folder: images_in(folder) for folder in folders}
    if names is None:
        for folder in folders[1:]:
            check_partners(result_folder, pictures[result_folder], folder, pictures[folder])
        names = list(pictures[result_folder])
    for folder in folders:
        absent = [name for name in names if name not in pictures[folder]]
        if absent:
            raise UserError(f"{folder}: lacks {some(absent)} of the split: add the images, or choose another split")
    pairs = [
        PicturePair(
            name,
            pictures[result_folder][name],
            pictures[clear_folder][name],
            None if mask_folder is None else pictures[mask_folder][name],
        )
        for name in names
    ]
    for pair in pairs:
        _check_headers(pair)
    return pairs


def read_split(text: str) -> tuple[list[str], dict[str, Any]]:
    """Read the image names of ``FILE:NAME``, or of ``FILE`` if it has one list only; a shipped split goes by its name.

    Returns:
        the names, and a record of where they come from with a digest of the list.

    Raises:
        UserError: there is no such split file, or no such list in it; the message names those it has.
    """
    file, colon, part = text.rpartition(":")
    if not colon or Path(text).is_file():
        file, part = text, ""
    split = find_split(file, Path())
    if not part and len(split.parts) == 1:
        (part,) = split.parts
    if part not in split.parts:
        have = ", ".join(f"{file}:{name}" for name in split.parts)
        raise UserError(f"--split {text}: which images? give {have}")
    names = list(split.parts[part])
    if not names:
        raise UserError(f"--split {text}: this list is empty: choose another")
    return names, {"split": split.name, "part": part, "count": len(names), "digest": digest(names)}


def read_pair(
    pair: PicturePair, value_range: ValueRange | None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
    """Return result, clear, mask, and which pixels have data in the clear image, None if all have.

    Without a range the pictures must be 8-bit.

    Shapes: (C, H, W), mask and valid (1, H, W).
    Units: images in [-1, 1]; the mask is 1 wherever the first band of its picture is above 0.

    Raises:
        UserError: a picture is damaged, has a type without a known range, or lies outside the range; or the result has
            no data somewhere where the clear image does.
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
                "end: give their range by --value-range"
            )
        images.append(torch.from_numpy(units.to_model(fill_nodata(values, valid))))
        known.append(valid)
    if (known[1] & ~known[0]).any():
        raise UserError(
            f"{pair.result}: holds NaN, infinite values or nodata where {pair.clear} has data: fill them, or leave the "
            "image out"
        )
    mask = None if pair.mask is None else torch.from_numpy(read_image(pair.mask, palette=True)[:1] > 0).float()
    return images[0], images[1], mask, None if known[1].all() else torch.from_numpy(known[1])[None]


def _check_headers(pair: PicturePair) -> None:
    result, clear = image_header(pair.result), image_header(pair.clear)
    if result[:3] != clear[:3]:
        raise UserError(
            f"{pair.result}: is {_words(result)}, but {pair.clear} is {_words(clear)}: "
            "both must have the same bands and size; nothing is resized or cropped"
        )
    if result.dtype != clear.dtype and "uint8" in (result.dtype, clear.dtype):
        raise UserError(f"{pair.result}: is {result.dtype}, but {pair.clear} is {clear.dtype}: save both in one type")
    if pair.mask is not None and image_header(pair.mask)[1:3] != clear[1:3]:
        raise UserError(
            f"{pair.mask}: is {_words(image_header(pair.mask))}, but {pair.clear} is {_words(clear)}: same size needed"
        )


def _words(size: Sequence[Any]) -> str:
    bands, height, width = size[:3]
    return f"{height} x {width} pixels with {bands} bands"
