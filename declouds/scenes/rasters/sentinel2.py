"""Sentinel-2 products as they are downloaded: a `.SAFE` folder with a JPEG 2000 file for each band."""

import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from declouds.errors import UserError
from declouds.scenes.rasters.stack import Layer

# In the order of the product's band numbers, which begin at 0, with metres between pixels.
RESOLUTIONS = {
    **{"B01": 60, "B02": 10, "B03": 10, "B04": 10, "B05": 20, "B06": 20, "B07": 20, "B08": 10, "B8A": 20, "B09": 60},
    **{"B10": 60, "B11": 20, "B12": 20},
}
QUANTIFICATIONS = ("QUANTIFICATION_VALUE", "BOA_QUANTIFICATION_VALUE", "L2A_BOA_QUANTIFICATION_VALUE")
OFFSETS = ("RADIO_ADD_OFFSET", "BOA_ADD_OFFSET")  # of levels 1C and 2A
NODATA = 0.0

Images = dict[tuple[str, int], Path]  # band and metres -> file


def is_safe(path: Path) -> bool:
    """Tell whether a path is, or is called like, the folder of a Sentinel-2 product."""
    return path.suffix.lower() == ".safe" or (path.is_dir() and any(path.glob("MTD_MSIL*.xml")))


def safe_layers(folder: Path, bands: Sequence[str] | None) -> list[Layer]:
    """Return where the bands of a product of level 1C or 2A lie, and what their values mean.

    Reflectance is (stored value + offset) / quantification value, by the product's metadata; products of processing
    baselines before 04.00 have no offset. Stored 0 is nodata.

    Args:
        folder: the product.
        bands: such as B04 or B8A, in the resolution that the instrument has; B04_20m is the version of level 2A with
            pixels of 20 m.

    Raises:
        UserError: no bands are given; one is not in the product; they differ in resolution; or the folder is no
            Sentinel-2 product, is incomplete, or holds several tiles.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: {'is not a folder' if folder.exists() else 'no such folder'}: give the product's")
    metadata = _metadata(folder)
    images = _images(folder)
    listing = ", ".join(f"{band}_{metres}m" for band, metres in sorted(images, key=lambda key: (key[1], key[0])))
    if not bands:
        raise UserError(f"{folder}: choose bands of it, such as --bands B04,B03,B02; it has {listing}")
    keys = [_key(name) for name in bands]
    for name, key in zip(bands, keys, strict=True):
        if key not in images:
            raise UserError(f"{folder}: {name!r} is not one of its bands: choose among {listing}")
    _check_resolution(folder, [key for key in keys if key], images)
    return [_layer(folder, metadata, key, name, images[key]) for name, key in zip(bands, keys, strict=True) if key]


def _metadata(folder: Path) -> ElementTree.Element:
    """Read the product's metadata file."""
    files = sorted(folder.glob("MTD_MSIL*.xml"))
    if not files:
        raise UserError(
            f"{folder}: lacks MTD_MSIL1C.xml or MTD_MSIL2A.xml: it is not a Sentinel-2 product of level 1C or 2A, or "
            "incomplete: download it again"
        )
    try:
        return ElementTree.parse(files[0]).getroot()
    except (OSError, LookupError, ElementTree.ParseError) as error:
        raise UserError(f"{files[0]}: cannot be read ({error}): download the product again") from error


def _images(folder: Path) -> Images:
    """Find the file of each band in each resolution that there is."""
    images: Images = {}
    for path in sorted(folder.glob("GRANULE/*/IMG_DATA/**/*.jp2")):
        match = re.search(r"_(B\d[\dA])(?:_(\d\d)m)?\.jp2$", path.name)
        if match is None or match[1] not in RESOLUTIONS:
            continue  # class maps, previews, ...
        key = match[1], int(match[2] or RESOLUTIONS[match[1]])
        if key in images:
            raise UserError(
                f"{folder}: holds several tiles ({images[key].name}, {path.name}): give these files one by one, or "
                "products of one tile each"
            )
        images[key] = path
    if not images:
        raise UserError(f"{folder}: holds no image of a band (GRANULE/*/IMG_DATA/*.jp2): download the product again")
    return images


def _key(name: str) -> tuple[str, int] | None:
    """Return band and metres of a name such as B04, b4 or B04_20m."""
    match = re.fullmatch(r"B0?(8A|\d{1,2})(?:_(\d\d)M)?", name.strip().upper())
    if match is None:
        return None
    band = "B" + match[1].zfill(2)
    return (band, int(match[2] or RESOLUTIONS[band])) if band in RESOLUTIONS else None


def _check_resolution(folder: Path, keys: Sequence[tuple[str, int]], images: Images) -> None:
    """Refuse bands of several resolutions, and name the common resolutions if there are any."""
    if len({metres for _, metres in keys}) == 1:
        return
    coarsest = max(metres for _, metres in keys)
    together = ",".join(f"{band}_{coarsest}m" for band, _ in keys)
    cure = (
        f"ask for --bands {together}"
        if all((band, coarsest) in images for band, _ in keys)
        else "resample them to one first (gdalwarp), or use a model for bands of one resolution"
    )
    found = ", ".join(f"{band} has {metres} m" for band, metres in keys)
    raise UserError(f"{folder}: the bands differ in resolution ({found}): {cure}")


def _layer(folder: Path, metadata: ElementTree.Element, key: tuple[str, int], name: str, path: Path) -> Layer:
    """Return one band with the units of the metadata."""
    band, metres = key
    number = str(list(RESOLUTIONS).index(band))
    try:
        (quantification,) = {float(_text(found)) for found in _found(metadata, QUANTIFICATIONS)}
        offsets = {found.get("band_id"): float(_text(found)) for found in _found(metadata, OFFSETS)}
        offset = offsets[number] if offsets else 0.0
        scale = 1 / quantification
    except (ValueError, KeyError, ZeroDivisionError) as error:
        raise UserError(
            f"{folder}: its metadata do not say what the values of {band} mean (quantification value, offset): "
            "download the product again"
        ) from error
    full_name = f"{band}_{metres}m" if "_" in name else band
    return Layer(path, full_name, scale=scale, offset=offset / quantification, nodata=NODATA)


def _found(metadata: ElementTree.Element, names: Sequence[str]) -> list[ElementTree.Element]:
    """Return the elements with any of the names, at any depth."""
    return [found for name in names for found in metadata.findall(f".//{{*}}{name}")]


def _text(element: ElementTree.Element) -> str:
    return element.text or ""
