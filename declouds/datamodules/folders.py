"""Find cloudy/clear pairs in folders: files of one name in a cloudy and a clear folder belong together."""

import re
from collections.abc import Sequence
from pathlib import Path

from declouds.datamodules.pair import Pair, some
from declouds.errors import UserError
from declouds.image_io import SUFFIXES

PARTS = ("train", "val", "test")


def natural_order(name: str) -> list[str | int]:
    """Return a sort key that puts '9' before '10'."""
    return [int(piece) if piece.isdigit() else piece for piece in re.split(r"(\d+)", name)]


def images_in(folder: Path) -> dict[str, Path]:
    """Return file name without suffix -> path, in natural order, for every image in a folder.

    Raises:
        UserError: no such folder, no image in it, a name that is not UTF-8, or two images of one name.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder: check the path and the folder names")
    images: dict[str, Path] = {}
    for path in folder.iterdir():
        if path.suffix.lower() not in SUFFIXES or path.name.startswith("."):
            continue
        if not _is_text(path.name):
            raise UserError(f"{folder}: the name {path.name!r} is not UTF-8: rename the file")
        if path.stem in images:
            raise UserError(f"{path} and {images[path.stem].name} have one name: remove one of them")
        images[path.stem] = path
    if not images:
        raise UserError(f"{folder}: holds no image ({', '.join(SUFFIXES)}): check the path and the folder names")
    return {name: images[name] for name in sorted(images, key=natural_order)}


def pairs_in(
    root: Path,
    cloudy: str = "cloud",
    clear: str = "label",
    mask: str | None = None,
    bands: Sequence[int] | None = None,
) -> list[Pair]:
    """Pair the images of ``root/cloudy`` with those of the same name in ``root/clear`` (and ``root/mask``).

    Raises:
        UserError: a folder is missing or empty, or an image has no partner.
    """
    cloudy_files = images_in(root / cloudy)
    clear_files = images_in(root / clear)
    mask_files = images_in(root / mask) if mask else {}
    check_partners(root / cloudy, cloudy_files, root / clear, clear_files)
    if mask:
        check_partners(root / cloudy, cloudy_files, root / mask, mask_files)
    chosen = tuple(bands) if bands else None
    return [Pair.of(name, path, clear_files[name], mask_files.get(name), chosen) for name, path in cloudy_files.items()]


def check_partners(folder: Path, files: dict[str, Path], other: Path, other_files: dict[str, Path]) -> None:
    """Check that two folders hold images of the same names.

    Raises:
        UserError: they do not; the message lists the names on either side.
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
    """Tell whether a file name can be printed and written: the system hands other bytes over as lone surrogates."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
