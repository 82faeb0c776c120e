"""Your own pairs: a folder of cloudy images and a folder of clear ones."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from declouds.argument_kinds import check_arguments
from declouds.datamodules.file_pairs import FilePairDataset
from declouds.datamodules.pair_data_module import PairDataModule
from declouds.datamodules.pair_dataset import pairs_of
from declouds.datamodules.pairs import PARTS, Pair, pairs_in, part_folders
from declouds.datamodules.splits import choose, find_split, split_name, with_validation
from declouds.errors import UserError
from declouds.registry import DATAMODULES
from declouds.value_range import ValueRange


class PairedFolderDataset(FilePairDataset):
    """One part ('train', 'val', 'test') of `PairedFolder`, with the same arguments."""

    def __init__(
        self,
        root: str | Path,
        part: str = "train",
        split: str | Path | Mapping[str, Any] = "split.json",
        cloudy: str = "cloud",
        clear: str = "label",
        mask: str | None = None,
        bands: Sequence[int] | None = None,
        value_range: ValueRange | Sequence[float] | None = None,
        val: float | str | None = 0.1,
        val_seed: int = 0,
        reduce: int = 1,
        mask_above: float = 0,
        cache: bool | str | Path = True,
        scale: float | None = None,
        offset: float | None = None,
    ) -> None:
        parts = split_pairs(Path(root), split, cloudy=cloudy, clear=clear, mask=mask, bands=bands)
        pairs = pairs_of(with_validation(parts, val, val_seed), part)
        super().__init__(pairs, value_range, reduce, mask_above, cache, scale, offset)


@DATAMODULES.register_module()
class PairedFolder(PairDataModule):
    """Your own pairs: ``root/cloud/*`` and ``root/label/*``, matched by file name; PNG, JPEG or GeoTIFF.

    ``split`` is a JSON file (relative to ``root`` or the working directory), the name of a shipped split,
    ``dict(train='train.txt', test='test.txt')`` for lists of names, or 'folders' for
    ``root/train/{cloud,label}`` and ``root/test/{cloud,label}`` (and ``val``). If the split has no validation pairs,
    ``val`` defines them: a held-out fraction of the training pairs (default 0.1), 'test' or None: `with_validation`.
    ``bands`` selects and orders bands, counted from 1: ``[4, 3, 2]`` is true colour for Sentinel-2's 13; by default all
    but alpha. Any data type is read; ``value_range`` are the sensor values that map to -1 and 1, required unless uint8
    (0 to 255). ``mask`` names a folder of cloud masks; for ``reduce``, ``mask_above``, ``scale``, ``offset`` and
    ``cache`` see `FilePairDataset`.

    Raises:
        UserError: at ``setup``, from names and headers: bad folders, partners, sizes, bands or split.
    """

    def __init__(
        self,
        root: str | Path,
        split: str | Path | Mapping[str, Any] = "split.json",
        band_names: Sequence[str] = (),
        batch_size: int = 1,
        num_workers: int = 0,
        **arguments: Any,
    ) -> None:
        check_arguments(PairedFolder, dict(band_names=band_names))
        super().__init__(
            PairedFolderDataset,
            batch_size,
            num_workers,
            split_name=split_name(split),
            root=root,
            split=split,
            **arguments,
        )
        self.band_names = tuple(band_names)

    def setup(self, stage: str | None = None) -> None:
        """Build the data sets of a stage, and check the number of band names."""
        super().setup(stage)
        if self.band_names and len(self.band_names) != self.bands:
            raise UserError(f"band_names={self.band_names}: the images have {self.bands} bands: give one name per band")


def split_pairs(root: Path, split: str | Path | Mapping[str, Any], **folders: Any) -> dict[str, list[Pair]]:
    """Return part -> pairs of a folder, from its ``train`` and ``test`` folders or a split file.

    ``folders`` are the arguments of `pairs_in`.

    Raises:
        UserError: missing folder, image without a partner, or a split that does not fit.
    """
    if split != "folders":
        chosen = find_split(split, root)
        pairs = pairs_in(root, **folders)
        return {part: choose(pairs, chosen, part) for part in chosen.parts}
    below = part_folders(root)
    if not below:
        raise UserError(f"{root}: has none of the folders {', '.join(PARTS)}, which split='folders' needs")
    return {part: pairs_in(folder, **folders) for part, folder in below.items()}
