"""Sen2_MTC: three cloudy Sentinel-2 dates of a place and a clear one."""

from pathlib import Path
from typing import Any

from declouds.argument_kinds import check_arguments
from declouds.datamodules.published_dataset import PublishedDataModule
from declouds.datamodules.sen2_mtc_files import sen2_mtc_new, sen2_mtc_old
from declouds.errors import UserError
from declouds.registry import DATAMODULES

VERSIONS = {"new": sen2_mtc_new, "old": sen2_mtc_old}


@DATAMODULES.register_module()
class Sen2MTC(PublishedDataModule):
    """Sen2_MTC_New or Sen2_MTC_Old: the first cloudy date is the image, the others are the sources date1 and date2.

    ``version='new'`` (Huang and Wu, ICIP 2022, CTGAN): ``root/Sen2_MTC/T12TUR_R027/cloudless/T12TUR_R027_7.tif`` and
    ``cloud/T12TUR_R027_7_0.tif`` to ``_2.tif``; red, green, blue and near infrared, reflectance x 10,000, clipped to 0
    and 10,000; 256x256. ``nir=False`` leaves near infrared out.

    ``version='old'`` (Sarukkai et al., WACV 2020, STGAN): ``root/multipleImage/clear/11WNR_50003000.jpg`` and
    ``cloudy/11WNR_50003000_0.jpg`` to ``_2.jpg``, 8-bit pictures; near infrared is ``_0_ir.jpg`` and so on, which the
    clear image lacks: with ``nir`` it becomes the sources nir0, nir1 and nir2.

    ``split='published'`` is by the tiles of the authors' lists (new), or by the permutation that PMAA's authors draw
    (old), which shares tiles between parts; or a split file. When the dates were taken is not published. Further
    ``arguments``: see `PublishedDataset`.

    Raises:
        UserError: at ``setup``, from names and headers: bad folders, partners, sizes, bands or split.
    """

    def __init__(self, root: str | Path, version: str = "new", nir: bool = True, **arguments: Any) -> None:
        check_arguments(Sen2MTC, dict(version=version, nir=nir))
        if version not in VERSIONS:
            raise UserError(f"version={version!r}: Sen2_MTC has 'new' (4 bands, CTGAN) and 'old' (pictures, STGAN)")
        super().__init__(VERSIONS[version](nir), root, **arguments)
