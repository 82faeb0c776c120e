"""SEN12MS-CR-TS: a year of Sentinel-2 and Sentinel-1 dates of places all over the world."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from declouds.argument_kinds import check_arguments
from declouds.datamodules.published_dataset import PublishedDataModule
from declouds.datamodules.sen12mscr_ts_files import COVERS, sen12mscr_ts
from declouds.registry import DATAMODULES

CLOUD_DETECTOR = dict(type="CloudScore")


@DATAMODULES.register_module()
class SEN12MSCRTS(PublishedDataModule):
    """SEN12MS-CR-TS: ``root/ROIs1868/17/S2/0/s2_ROIs1868_17_ImgNo_0_2018-01-06_patch_0.tif``, and ``S1``, as published.

    Ebel et al. 2022, IEEE TGRS 60, 5222414. 30 dates of 2018, Sentinel-2 level 1C in 13 bands, reflectance x 10,000,
    clipped to 0 and 10,000; 256x256. The clear image of a sample is the clearest date of a patch, the input are
    ``dates`` others: the first is the image, the others are the sources date1, date2 and so on. With ``sar`` each date
    has its Sentinel-1 image, the sources sar, date1_sar and so on: VV and VH in dB, clipped to [-25, 0] and [-32.5, 0].

    The dates are chosen by how much of each is cloud, which `declouds data covers` finds once and writes to ``covers``.
    ``choice='published'`` is that of UnCRtainTS, with ``cover`` as the lowest and highest share of cloud of an input;
    ``'near'`` takes the neighbours in time of the clear date, so that the sources have days: see `choose_dates`.

    ``split='published'`` is by places; ``bands`` as for `SEN12MSCR`, and ``cloud_detector`` makes masks of the image
    (none of the other dates) as there. Further ``arguments``: see `PublishedDataset`.

    Raises:
        UserError: at ``setup``, from names and headers: bad folders, partners, sizes, bands, covers or split.
    """

    def __init__(
        self,
        root: str | Path,
        dates: int = 3,
        sar: bool = True,
        bands: Sequence[int] | None = None,
        choice: str = "published",
        cover: Sequence[float] = (0.0, 1.0),
        covers: str | Path = COVERS,
        cloud_detector: Mapping[str, Any] | None = CLOUD_DETECTOR,
        **arguments: Any,
    ) -> None:
        own: dict[str, Any] = dict(dates=dates, sar=sar, bands=bands, choice=choice, cover=cover, covers=covers)
        check_arguments(SEN12MSCRTS, own)
        super().__init__(sen12mscr_ts(**own), root, cloud_detector=cloud_detector, **arguments)
