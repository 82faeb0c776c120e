"""CUHK-CR: 668 thin-cloud pairs (CR1) and 559 thick-cloud pairs (CR2) of 0.5 m imagery, RGB with near infrared."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from declouds.datamodules.cuhk_cr_files import cuhk_cr_pairs
from declouds.datamodules.file_pairs import FilePairDataset
from declouds.datamodules.pair_data_module import PairDataModule
from declouds.datamodules.pair_dataset import pairs_of
from declouds.datamodules.splits import choose, find_split, split_name, with_validation
from declouds.registry import DATAMODULES


class CUHKCRDataset(FilePairDataset):
    """One part ('train', 'val', 'test') of `CUHKCR`, with the same arguments."""

    def __init__(
        self,
        root: str | Path,
        part: str = "train",
        cloud: str = "thin",
        nir: bool = False,
        split: str | Path | Mapping[str, Any] = "folders",
        val: float | str | None = 0.1,
        val_seed: int = 0,
        reduce: int = 1,
        cache: bool | str | Path = True,
    ) -> None:
        parts = cuhk_cr_pairs(Path(root), cloud, nir)
        if split != "folders":
            chosen = find_split(split, Path(root), restart=True)
            parts |= {name: choose(parts.get(name, []), chosen, name) for name in chosen.parts}
        super().__init__(pairs_of(with_validation(parts, val, val_seed), part), None, reduce, cache=cache)


@DATAMODULES.register_module()
class CUHKCR(PairDataModule):
    """CUHK-CR1 (``cloud='thin'``) or CUHK-CR2 (``'thick'``), with ``nir=True`` as red, green, blue, near infrared.

    Sui et al. 2024, arXiv:2401.15105; Jilin-1 KF01B, 0.5 m. The folders hold the official split, ``split='folders'``;
    the shipped split 'cuhk_cr1_test_dedup98' leaves out the 36 duplicated CR1 test images. ``reduce=2`` downsamples
    the stored 512x512 to the 256x256 of the published experiments. ``val`` as for `PairedFolder`. Folder layouts:
    `cuhk_cr_pairs`.

    Raises:
        UserError: at ``setup``, from names and headers: bad folders, partners, sizes, bands or split.
    """

    def __init__(
        self,
        root: str | Path,
        cloud: str = "thin",
        nir: bool = False,
        split: str | Path | Mapping[str, Any] = "folders",
        batch_size: int = 1,
        num_workers: int = 0,
        **arguments: Any,
    ) -> None:
        arguments |= {"root": root, "cloud": cloud, "nir": nir, "split": split}
        super().__init__(CUHKCRDataset, batch_size, num_workers, split_name=split_name(split), **arguments)
        self.band_names = ("red", "green", "blue", "nir") if nir else ("red", "green", "blue")
