"""RICE: 500 thin-cloud pairs from Google Earth (RICE1) and 736 thick-cloud pairs from Landsat 8 (RICE2)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from declouds.datamodules.file_pairs import FilePairDataset
from declouds.datamodules.pair_data_module import PairDataModule
from declouds.datamodules.pair_dataset import pairs_of
from declouds.datamodules.paired import split_pairs
from declouds.datamodules.pairs import Pair
from declouds.datamodules.splits import split_name, with_validation
from declouds.errors import UserError
from declouds.registry import DATAMODULES


class RICEDataset(FilePairDataset):
    """One part ('train', 'val', 'test') of `RICE`, with the same arguments."""

    def __init__(
        self,
        root: str | Path,
        part: str = "train",
        version: int = 1,
        split: str | Path | Mapping[str, Any] = "split.json",
        val: float | str | None = 0.1,
        val_seed: int = 0,
        reduce: int = 1,
        mask_above: float = 0,
        cache: bool | str | Path = True,
    ) -> None:
        parts = {name: [_rgb(pair) for pair in pairs] for name, pairs in _find(Path(root), version, split).items()}
        super().__init__(pairs_of(with_validation(parts, val, val_seed), part), None, reduce, mask_above, cache)


@DATAMODULES.register_module()
class RICE(PairDataModule):
    """RICE1 (thin) or RICE2 (thick, with masks): ``root/{cloud,label[,mask]}/ID.png``, or its parent folder.

    Lin et al. 2019, arXiv:1901.00600. ``version`` is 1 or 2; ``reduce=2`` downsamples the original 512x512 to the
    256x256 of the published experiments. There is no official split, so ``split`` is a file (`declouds data split`
    writes one); neighbouring ids can come from one scene. ``val`` as for `PairedFolder`.

    Version 2 uses cloud masks if ``root/mask`` exists. The publication does not define their values; a pixel is cloud
    if its value is above ``mask_above`` (0: every marked pixel). `declouds data check` lists the values.

    Raises:
        UserError: at ``setup``, from names and headers: bad folders, partners, sizes, bands or split.
    """

    band_names = ("red", "green", "blue")

    def __init__(
        self,
        root: str | Path,
        version: int = 1,
        split: str | Path | Mapping[str, Any] = "split.json",
        batch_size: int = 1,
        num_workers: int = 0,
        **arguments: Any,
    ) -> None:
        arguments |= {"root": root, "version": version, "split": split}
        super().__init__(RICEDataset, batch_size, num_workers, split_name=split_name(split), **arguments)


def _find(root: Path, version: int, split: str | Path | Mapping[str, Any]) -> dict[str, list[Pair]]:
    if version not in (1, 2):
        raise UserError(f"unknown version={version!r}: RICE has versions 1 (thin clouds) and 2 (thick clouds)")
    if (root / f"RICE{version}").is_dir():
        root = root / f"RICE{version}"
    elif not (root / "cloud").is_dir() and not (root / "train").is_dir():
        raise UserError(f"{root}: no folders cloud/ and label/, or RICE{version}/: give the folder of the data set")
    mask = "mask" if version == 2 and (root / "mask").is_dir() else None
    return split_pairs(root, split, mask=mask)


def _rgb(pair: Pair) -> Pair:
    """Keep the first three bands, without the alpha band of converted copies."""
    return Pair.of(pair.name, pair.cloudy[0].path, pair.clear[0].path, pair.mask, bands=(1, 2, 3))
