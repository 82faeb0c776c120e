"""The cloud mask that a product brings along, found in it or beside the scene by the names that products have."""

import re
from collections.abc import Iterator
from pathlib import Path

from rasterio.io import DatasetReader

from declouds.errors import UserError
from declouds.scenes.rasters import landsat
from declouds.scenes.rasters.scene_file import source_files
from declouds.scenes.rasters.sentinel2 import is_safe
from declouds.scenes.rasters.stac import asset_file, is_stac
from declouds.scenes.rasters.web_path import WebPath

OWN = ("scl", "qa_pixel", "udm2")  # kinds that a product is delivered with; Fmask's is computed afterwards
IN_SAFE = {  # the finest first
    "scl": ("GRANULE/*/IMG_DATA/R20m/*_SCL_20m.jp2", "GRANULE/*/IMG_DATA/R60m/*_SCL_60m.jp2"),
    "fmask": ("GRANULE/*/FMASK_DATA/*_Fmask4.tif",),
}
ASSETS = {
    "scl": ("scl", "scl_20m", "scl_60m"),
    "qa_pixel": ("qa_pixel", "qa_pixel.tif"),
    "udm2": ("udm2", "ortho_udm2"),
}
# What names of files of one product begin with, and how the name of its mask goes on, as patterns.
BESIDE = {
    "scl": (r"T\d\d[A-Z]{3}_\d{8}T\d{6}", r"_SCL(_20m)?\.(jp2|tif)"),
    "qa_pixel": (landsat.PRODUCT, r"_QA_PIXEL\.tif"),
    "udm2": (r".+_(3B|ortho)(?=_analytic)", r"_udm2.*\.tif"),
    "fmask": (landsat.PRODUCT, r"_Fmask4\.tif"),
}


def product_mask(path: Path, scene: DatasetReader, kind: str | None = None) -> tuple[str, Path] | None:
    """Return kind and file of the mask that comes with a scene; None if there is none.

    Args:
        path: the scene, as the user named it: the folder of a product, a STAC item, or a raster that is, or is made
            of, files called as those of Sentinel-2, Landsat Collection 2 or Planet.
        scene: the same, open.
        kind: the kind to look for, a key of `KINDS`; if not given, any that a product is delivered with.

    Raises:
        UserError: there are several of one kind; or a STAC item names one that is not on this machine.
    """
    for one in (kind,) if kind else OWN:
        found = list(dict.fromkeys(_found(path, scene, one)))
        if len(found) > 1:
            raise UserError(
                f"{path}: {found[0].name} and {found[1].name} could both be its mask: say which (--mask FILE "
                f"--mask-kind {one}), or name a detector (--mask auto --detector NAME)"
            )
        if found:
            return one, found[0]
    return None


def _found(path: Path, scene: DatasetReader, kind: str) -> Iterator[Path]:
    """Yield the masks of a kind that a scene has."""
    if is_safe(path):
        for pattern in IN_SAFE.get(kind, ()):
            if files := sorted(path.glob(pattern)):
                yield from files
                return
    elif is_stac(path):
        if file := asset_file(path, ASSETS.get(kind, ())):
            yield file
    else:
        for part in sorted({path, *source_files(scene)}):
            yield from _beside(part, kind, *BESIDE[kind])


def _beside(part: Path, kind: str, product: str, rest: str) -> Iterator[Path]:
    """Yield the masks of the product that a file is of, from its folder or that of pixels of 20 m, or of its name."""
    if isinstance(part, WebPath):  # a folder there cannot be listed
        return
    if (own := part.with_name(f"{part.stem}_{kind.upper()}.tif")).is_file():  # as `declouds fetch` writes it
        yield own
    begin = re.match(product, part.name, re.IGNORECASE)
    if begin is None:
        return
    for folder in (part.parent, part.parent.parent / "R20m"):
        for file in sorted(folder.iterdir()) if folder.is_dir() else ():
            if re.fullmatch(re.escape(begin[0]) + rest, file.name, re.IGNORECASE):
                yield file
