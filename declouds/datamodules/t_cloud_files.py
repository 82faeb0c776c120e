"""File layout of T-CLOUD, read without torch for `declouds data check`."""

from functools import partial
from pathlib import Path

from declouds.datamodules.pairs import Pair, pairs_in, part_folders
from declouds.datamodules.published import PublishedSet, split_by_folder
from declouds.errors import UserError


def is_t_cloud(root: Path) -> bool:
    """Tell whether a folder holds the parts of T-CLOUD."""
    return any((part / "cloud").is_dir() and (part / "reference").is_dir() for part in part_folders(root).values())


def t_cloud() -> PublishedSet:
    """Return T-CLOUD: cloudy and clear pictures, whose folders hold the published split."""
    splits = {"published": partial(split_by_folder, level=1)}
    return PublishedSet("T-CLOUD", _read, splits, (0.0, 255.0), ("red", "green", "blue"))


def _read(root: Path) -> list[Pair]:
    if not is_t_cloud(root):
        raise UserError(
            f"{root}: no folders train/cloud and train/reference, test/cloud and test/reference: arrange the download "
            "of T-CLOUD so, and give the folder that holds them"
        )
    folders = part_folders(root).values()
    return [pair for folder in folders for pair in pairs_in(folder, clear="reference", bands=(1, 2, 3))]
