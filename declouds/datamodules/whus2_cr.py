"""WHUS2-CR: pairs of Sentinel-2 images with thin clouds, bands of 10, 20 and 60 m brought to one grid."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from declouds.argument_kinds import check_arguments
from declouds.datamodules.published_dataset import PublishedDataModule
from declouds.datamodules.whus2_cr_files import whus2_cr
from declouds.registry import DATAMODULES


@DATAMODULES.register_module()
class WHUS2CR(PublishedDataModule):
    """WHUS2-CRv: ``root/{train,val,test}/{cloudDNclips,clearDNclips}/{10m,20m,60m}/R008_T30QVM/N.tif``, as published.

    Li et al. 2022, IEEE JSTARS 15, 8759-8775, which extends WHUS2-CR of Li et al. 2021, Remote Sensing 13, 157.
    Sentinel-2A in 13 bands, reflectance x 10,000, clipped to 0 and 10,000, in clips of 384, 192 and 64 pixels on a
    side: each pixel of 20 and 60 m is repeated 2x2 and 6x6 times, so that all bands lie on the grid of 10 m.
    ``bands`` as for `SEN12MSCR`.

    ``split='published'`` is by the scenes of the authors' table, ``'folders'`` by the folders of the download, which
    hold other scenes; or a split file of names such as ``R008_T30QVM_12``. Further ``arguments``: see
    `PublishedDataset`.

    Raises:
        UserError: at ``setup``, from names and headers: bad folders, partners, sizes, bands or split.
    """

    def __init__(self, root: str | Path, bands: Sequence[int] | None = None, **arguments: Any) -> None:
        check_arguments(WHUS2CR, dict(bands=bands))
        super().__init__(whus2_cr(bands), root, **arguments)
