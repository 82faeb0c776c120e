"""SEN12MS-CR: cloudy and clear Sentinel-2 images of 13 bands, with Sentinel-1 SAR, of regions all over the world."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from declouds.argument_kinds import check_arguments
from declouds.datamodules.published_dataset import PublishedDataModule
from declouds.datamodules.sen12mscr_files import sen12mscr
from declouds.registry import DATAMODULES

CLOUD_DETECTOR = dict(type="CloudScore")


@DATAMODULES.register_module()
class SEN12MSCR(PublishedDataModule):
    """SEN12MS-CR: ``root/ROIs1970_fall_s2_cloudy/s2_cloudy_136/...``, ``_s2`` and ``_s1``, as published.

    Ebel et al. 2020, IEEE TGRS 59, 5866-5878. Sentinel-2 level 1C in 13 bands, reflectance x 10,000, clipped to 0 and
    10,000. With ``sar`` the input has the source ``sar`` too: VV and VH in dB, clipped to [-25, 0] and [-32.5, 0].
    ``drop=dict(sar=0.2)`` leaves it out of a fifth of the training samples and lets files be missing: see
    `FilePairDataset`. ``bands`` selects and orders Sentinel-2 bands, counted from 1: ``[4, 3, 2]`` is true colour.

    ``split='published'`` is the split by regions of `published_split`; or a split file of names such as
    ``ROIs1970_fall_136_p139``. ``val`` as for `PairedFolder`, where the split has no validation pairs here.

    The data have no cloud masks. ``cloud_detector`` makes them from the cloudy images, for scores of cloudy and clear
    pixels and by cover: ``dict(type='CloudScore')`` by default; None for no masks. It needs bands that ``bands`` may
    leave out. Further ``arguments``: see `PublishedDataset`.

    Raises:
        UserError: at ``setup``, from names and headers: bad folders, partners, sizes, bands or split.
    """

    def __init__(
        self,
        root: str | Path,
        sar: bool = True,
        bands: Sequence[int] | None = None,
        cloud_detector: Mapping[str, Any] | None = CLOUD_DETECTOR,
        **arguments: Any,
    ) -> None:
        check_arguments(SEN12MSCR, dict(sar=sar, bands=bands))
        super().__init__(sen12mscr(sar, bands), root, cloud_detector=cloud_detector, **arguments)
