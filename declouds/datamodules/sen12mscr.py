"""SEN12MS-CR: cloudy and clear Sentinel-2 images of 13 bands, with Sentinel-1 SAR, of regions all over the world."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from declouds.argument_kinds import check_arguments
from declouds.datamodules.file_pairs import FilePairDataset
from declouds.datamodules.pair_data_module import PairDataModule
from declouds.datamodules.pair_dataset import pairs_of
from declouds.datamodules.pair_sources import sar_source
from declouds.datamodules.sen12mscr_files import band_names_of, published_split, sen12mscr_pairs
from declouds.datamodules.splits import choose, find_split, split_name, with_validation
from declouds.registry import DATAMODULES

VALUE_RANGE = (0.0, 10000.0)  # reflectance 0 to 1
CLOUD_DETECTOR = dict(type="CloudScore")


class SEN12MSCRDataset(FilePairDataset):
    """One part ('train', 'val', 'test') of `SEN12MSCR`, with the same arguments."""

    def __init__(
        self,
        root: str | Path,
        part: str = "train",
        sar: bool = True,
        bands: Sequence[int] | None = None,
        drop: Mapping[str, float] | None = None,
        split: str | Path | Mapping[str, Any] = "published",
        val: float | str | None = 0.1,
        val_seed: int = 0,
        reduce: int = 1,
        cloud_detector: Mapping[str, Any] | None = CLOUD_DETECTOR,
        cache: bool | str | Path = True,
    ) -> None:
        pairs = sen12mscr_pairs(Path(root), sar, bands)
        if split == "published":
            parts = published_split(pairs)
        else:
            chosen = find_split(split, Path(root))
            parts = {name: choose(pairs, chosen, name) for name in chosen.parts}
        names = band_names_of(bands)
        super().__init__(
            pairs_of(with_validation(parts, val, val_seed), part),
            VALUE_RANGE,
            reduce,
            cache=cache,
            sources=[sar_source()] if sar else [],
            drop=drop,
            cloud_detector=cloud_detector,
            band_names=names,
        )
        if {"B04", "B03", "B02"} <= set(names):
            self.rgb = (names.index("B04"), names.index("B03"), names.index("B02"))


@DATAMODULES.register_module()
class SEN12MSCR(PairDataModule):
    """SEN12MS-CR: ``root/ROIs1970_fall_s2_cloudy/s2_cloudy_136/...``, ``_s2`` and ``_s1``, as published.

    Ebel et al. 2020, IEEE TGRS 59, 5866-5878. Sentinel-2 level 1C in 13 bands, reflectance x 10,000, clipped to 0 and
    10,000. With ``sar`` the input has the source ``sar`` too: VV and VH in dB, clipped to [-25, 0] and [-32.5, 0].
    ``drop=dict(sar=0.2)`` leaves it out of a fifth of the training samples and lets files be missing: see
    `FilePairDataset`. ``bands`` selects and orders Sentinel-2 bands, counted from 1: ``[4, 3, 2]`` is true colour.

    ``split='published'`` is the split by regions of `published_split`; or a split file of names such as
    ``ROIs1970_fall_136_p139``. ``val`` as for `PairedFolder`, where the split has no validation pairs here.

    The data have no cloud masks. ``cloud_detector`` makes them from the cloudy images, for scores of cloudy and clear
    pixels and by cover: ``dict(type='CloudScore')`` by default; None for no masks. It needs bands that ``bands`` may
    leave out.

    Raises:
        UserError: at ``setup``, from names and headers: bad folders, partners, sizes, bands or split.
    """

    def __init__(
        self,
        root: str | Path,
        sar: bool = True,
        bands: Sequence[int] | None = None,
        split: str | Path | Mapping[str, Any] = "published",
        cloud_detector: Mapping[str, Any] | None = CLOUD_DETECTOR,
        batch_size: int = 1,
        num_workers: int = 0,
        **arguments: Any,
    ) -> None:
        check_arguments(SEN12MSCR, dict(sar=sar, bands=bands))
        arguments |= dict(root=root, sar=sar, bands=bands, split=split, cloud_detector=cloud_detector)
        super().__init__(SEN12MSCRDataset, batch_size, num_workers, split_name=split_name(split), **arguments)
        self.band_names = band_names_of(bands)
