"""Result pictures and clear pictures, paired by file name and checked before anything is measured."""

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from declouds.errors import UserError
from declouds.image_io import SUFFIXES, image_size, read_image
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
    """Pair pictures by file stem, all of them or those of ``names``, and check sizes and bands from the headers.

    Raises:
        UserError: a folder is missing or empty, a picture lacks its partner, two share a stem, or a pair differs in
            size, bands or data type (types other than 8-bit may differ, since floats of the same units are common).
    """
    results, clears = _pictures(result_folder), _pictures(clear_folder)
    masks = None if mask_folder is None else _pictures(mask_folder)
    folders = {result_folder: results, clear_folder: clears} | ({} if masks is None else {mask_folder: masks})
    if names is None:
        _same_stems(result_folder, results, clear_folder, clears)
        names = sorted(clears, key=_by_number)
    for folder, pictures in folders.items():
        absent = [name for name in names if name not in pictures]
        if absent:
            raise UserError(f"{folder}: lacks {_some(absent)}: pictures are paired by file name without suffix")
    pairs = [PicturePair(name, results[name], clears[name], None if masks is None else masks[name]) for name in names]
    for pair in pairs:
        _check_headers(pair)
    return pairs


def read_split(text: str) -> tuple[list[str], dict[str, Any]]:
    """Read the image names of ``FILE`` (a JSON list) or ``FILE:NAME`` (one list of a JSON object).

    Returns:
        the names, and a record of where they come from with a digest of the list.

    Raises:
        UserError: the file is missing, is no JSON of that kind, or has no such list; the message names those it has.
    """
    path, colon, key = text.rpartition(":")
    if not colon or Path(text).is_file():
        path, key = text, ""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: the split file cannot be read ({error.strerror}): check the path") from error
    except ValueError as error:
        raise UserError(f"{path}: the split file is no JSON ({error})") from error
    lists = {"": content} if isinstance(content, list) else content if isinstance(content, dict) else {}
    lists = {name: value for name, value in lists.items() if _is_name_list(value)}
    if key not in lists:
        have = ", ".join(name for name in lists if name) or "one unnamed list" if lists else "no list of names"
        raise UserError(f"{path}: has no split {key!r}; it has {have}: give FILE:NAME, or FILE for an unnamed list")
    names = [Path(name).stem if name.lower().endswith(SUFFIXES) else name for name in map(str, lists[key])]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice or not names:
        raise UserError(f"{path}: split {key!r} " + (f"lists {_some(twice)} twice" if twice else "is empty"))
    digest = hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()
    return names, {"file": path, "name": key, "images": len(names), "sha256_of_sorted_names": digest}


def read_pair(
    pair: PicturePair, value_range: ValueRange | None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """Return result, clear and mask; without a range the pictures must be 8-bit. Shapes: (C, H, W), mask (1, H, W).

    Units: images in [-1, 1]; the mask is 1 wherever its picture is not 0 in some band.

    Raises:
        UserError: a picture is damaged, holds values that are no numbers, or has a type without a known range.
    """
    images = []
    for path in (pair.result, pair.clear):
        values = read_image(path)
        if not np.isfinite(values).all():
            raise UserError(f"{path}: holds NaN or infinite pixels: fill them, or leave the image out by --split")
        images.append(torch.from_numpy((value_range or ValueRange.of_dtype(values.dtype)).to_model(values)))
    if pair.mask is None:
        return images[0], images[1], None
    return images[0], images[1], torch.from_numpy((read_image(pair.mask) != 0).any(axis=0, keepdims=True)).float()


def _pictures(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise UserError(f"{folder}: is no folder: give the folder that holds the pictures")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in SUFFIXES and path.is_file() and not path.name.startswith("."):
            if path.stem in found:
                raise UserError(f"{folder}: {found[path.stem].name} and {path.name} share a name: keep one of them")
            found[path.stem] = path
    if not found:
        raise UserError(f"{folder}: holds no picture ({', '.join(SUFFIXES)})")
    return found


def _same_stems(folder_a: Path, a: dict[str, Path], folder_b: Path, b: dict[str, Path]) -> None:
    for mine, others, where in ((a, b, folder_b), (b, a, folder_a)):
        alone = [path.name for stem, path in mine.items() if stem not in others]
        if alone:
            raise UserError(
                f"{where}: has no partner for {_some(alone)}: pictures are paired by file name without suffix; "
                "remove those alone, or choose images by --split"
            )


def _check_headers(pair: PicturePair) -> None:
    result, clear = image_size(pair.result), image_size(pair.clear)
    if result[:3] != clear[:3]:
        raise UserError(
            f"{pair.result}: is {_words(result)}, but {pair.clear} is {_words(clear)}: "
            "both must have the same bands and size; nothing is resized or cropped"
        )
    if result.dtype != clear.dtype and "uint8" in (result.dtype, clear.dtype):
        raise UserError(f"{pair.result}: is {result.dtype}, but {pair.clear} is {clear.dtype}: save both in one type")
    if pair.mask is not None and image_size(pair.mask)[1:3] != clear[1:3]:
        raise UserError(
            f"{pair.mask}: is {_words(image_size(pair.mask))}, but {pair.clear} is {_words(clear)}: same size needed"
        )


def _words(size: Sequence[Any]) -> str:
    bands, height, width = size[:3]
    return f"{height} x {width} pixels with {bands} bands"


def _is_name_list(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str | int) for name in value)


def _by_number(stem: str) -> list[Any]:
    """Sort 2 before 10."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", stem)]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
