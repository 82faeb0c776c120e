"""Bands that lie in files of their own, put together to one dataset without copying a pixel."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import rasterio
from rasterio.dtypes import dtype_rev, typename_fwd
from rasterio.enums import MaskFlags
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader

from declouds.errors import UserError
from declouds.image_io import check_one_page
from declouds.scenes.rasters.web import open_raster
from declouds.scenes.rasters.web_path import WebPath


@dataclass(frozen=True)
class Layer:
    """One band of a stack.

    Args:
        path: the file that it lies in.
        name: what the band is called.
        band: its number there, from 1; None = the file has one band only.
        scale: measured value = stored value * scale + offset; None = as the file itself says.
        offset: as there.
        nodata: the value that means "no data"; None = as the file itself says.
    """

    path: Path
    name: str
    band: int | None = None
    scale: float | None = None
    offset: float | None = None
    nodata: float | None = None


@dataclass(frozen=True)
class _Header:
    """What must be the same in all files of a stack."""

    size: tuple[int, int]
    type: str
    CRS: rasterio.CRS | None
    transform: rasterio.Affine

    def difference(self, other: "_Header") -> str | None:
        """Return what differs, in words."""
        for name in ("size", "type", "CRS"):
            if getattr(self, name) != getattr(other, name):
                return f"{name} ({getattr(self, name)}, not {getattr(other, name)})"
        pixel = max(abs(self.transform[place]) for place in (0, 1, 3, 4))
        if not np.allclose(self.corners(), other.corners(), rtol=0, atol=pixel / 100):  # some writers round
            return f"place ({self.transform[:6]}, not {other.transform[:6]})"
        return None

    def corners(self) -> np.ndarray:
        """Return the coordinates of three corners, which determine the grid."""
        width, height = self.size
        return np.reshape(self.transform, (3, 3)) @ np.array([(0, 0, 1), (width, 0, 1), (0, height, 1)]).T


def stack(layers: Sequence[Layer], *, masks: bool = True) -> str:
    """Return the text of a GDAL virtual raster (VRT) that has the layers as its bands.

    A pixel that a mask of any of the files takes out is masked in the stack, unless ``masks`` is False.

    Raises:
        UserError: a file is missing or no raster; a layer's band is not there, or not said; or a file differs from the
            first in size, type, CRS or place.
    """
    root = ElementTree.Element("VRTDataset")
    first: _Header | None = None
    masked: list[tuple[str, str]] = []
    for number, layer in enumerate(layers, 1):
        path = os.fspath(layer.path) if isinstance(layer.path, WebPath) else os.path.abspath(layer.path)
        with _opened(layer) as file:
            check_one_page(file, layer.path)
            band = band_number(file, layer)
            header = _Header((file.width, file.height), file.dtypes[band - 1], file.crs, file.transform)
            if first is None:
                first = header
                _describe_grid(root, header)
            elif difference := header.difference(first):
                raise UserError(
                    f"{layer.path}: differs from {layers[0].path} in its {difference}: choose bands of one grid and "
                    "type, or warp them onto one first (gdalwarp)"
                )
            _add_band(root, number, layer, file, band, path)
            flags = file.mask_flag_enums[band - 1]
            if masks and flags not in ([MaskFlags.all_valid], [MaskFlags.nodata]):
                masked.append((path, f"mask,{band}"))
    if masked:
        _add_mask(root, masked)
    return ElementTree.tostring(root, encoding="unicode")


def _opened(layer: Layer) -> DatasetReader:
    """Open a layer's file."""
    if not isinstance(layer.path, WebPath) and not layer.path.is_file():
        raise UserError(f"{layer.path}: no such file, and {layer.name} should be there: copy or download it again")
    try:
        return open_raster(layer.path)
    except RasterioError as error:
        raise UserError(
            f"{layer.path}: cannot be read as a raster, and {layer.name} should be there: copy or download it again, "
            "or choose other bands"
        ) from error


def band_number(file: DatasetReader, layer: Layer) -> int:
    """Return which band of its file a layer is.

    Raises:
        UserError: it has no such band, or several and the layer does not say which.
    """
    if layer.band is None and file.count > 1:
        choices = ", ".join(f"{layer.name}:{index}" for index in file.indexes)
        raise UserError(f"{layer.path}: {layer.name} holds {file.count} bands: choose among {choices}")
    band = layer.band or 1
    if band not in file.indexes:
        raise UserError(f"{layer.path}: has {file.count} bands, and no band {band}: correct {layer.name}")
    return band


def _describe_grid(root: ElementTree.Element, header: _Header) -> None:
    """Write size and place."""
    root.set("rasterXSize", str(header.size[0]))
    root.set("rasterYSize", str(header.size[1]))
    if header.CRS is not None:
        ElementTree.SubElement(root, "SRS").text = header.CRS.to_wkt()
    if not header.transform.is_identity:
        ElementTree.SubElement(root, "GeoTransform").text = ", ".join(map(repr, header.transform.to_gdal()))


def _add_band(root: ElementTree.Element, number: int, layer: Layer, file: DatasetReader, band: int, path: str) -> None:
    """Write a band, and where its pixels are."""
    element = ElementTree.SubElement(
        root, "VRTRasterBand", dataType=_gdal_type(file.dtypes[band - 1]), band=str(number)
    )
    nodata = file.nodatavals[band - 1] if layer.nodata is None else layer.nodata
    entries = {
        "Description": layer.name,
        "NoDataValue": None if nodata is None else repr(float(nodata)),
        "Scale": repr(file.scales[band - 1] if layer.scale is None else layer.scale),
        "Offset": repr(file.offsets[band - 1] if layer.offset is None else layer.offset),
    }
    for name, text in entries.items():
        if text is not None:
            ElementTree.SubElement(element, name).text = text
    _add_source(element, path, str(band))


def _add_source(element: ElementTree.Element, path: str, band: str) -> None:
    """Write where pixels come from: ``band`` is a number, or ``mask,`` and a number."""
    source = ElementTree.SubElement(element, "SimpleSource")
    ElementTree.SubElement(source, "SourceFilename", relativeToVRT="0").text = path
    ElementTree.SubElement(source, "SourceBand").text = band


def _add_mask(root: ElementTree.Element, masked: Sequence[tuple[str, str]]) -> None:
    """Write a mask for all bands: the product of the files' masks, which is 0 where any of them is 0."""
    mask = ElementTree.SubElement(ElementTree.SubElement(root, "MaskBand"), "VRTRasterBand", dataType="Byte")
    if len(masked) > 1:  # GDAL's product of one factor is 0
        mask.set("subClass", "VRTDerivedRasterBand")
        ElementTree.SubElement(mask, "PixelFunctionType").text = "mul"
        ElementTree.SubElement(mask, "SourceTransferType").text = "Float64"  # 255 * 255 * ... is clipped at the end
    for path, band in masked:
        _add_source(mask, path, band)


def _gdal_type(dtype: str) -> str:
    """Return GDAL's name of a type."""
    return typename_fwd[dtype_rev[dtype]]
