"""T-CLOUD: 2,939 pairs of Landsat 8 pictures with thin clouds."""

from pathlib import Path
from typing import Any

from declouds.datamodules.published_dataset import PublishedDataModule
from declouds.datamodules.t_cloud_files import t_cloud
from declouds.registry import DATAMODULES


@DATAMODULES.register_module()
class TCloud(PublishedDataModule):
    """T-CLOUD: ``root/{train,test}/{cloud,reference}/N.png``, 256x256 pixels, red, green and blue, 8 bits.

    Ding et al., ACCV 2022, 52-68. ``split='published'`` is by these folders: 2,351 pairs to train on, 588 to test. It
    has no validation part: ``val`` as for `PairedFolder`. Further ``arguments``: see `PublishedDataset`.

    Raises:
        UserError: at ``setup``, from names and headers: bad folders, partners, sizes, bands or split.
    """

    def __init__(self, root: str | Path, **arguments: Any) -> None:
        super().__init__(t_cloud(), root, **arguments)
