"""A cloud mask from a file, on any grid."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.enums import ColorInterp
from rasterio.errors import CRSError, NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader
from rasterio.transform import Affine
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform_bounds

from declouds.errors import UserError
from declouds.image_io import check_one_page
from declouds.scenes.rasters.scene_file import reason, source_files
from declouds.scenes.rasters.stack import Layer, stack
from declouds.scenes.rasters.web import open_raster, patiently
from declouds.scenes.rasters.web_path import located, redacted
from declouds.scenes.sampling.mask_classes import MaskClasses
from declouds.scenes.sampling.mask_rule import KINDS, TWO_CLASSES, MaskRule
from declouds.scenes.sampling.tiles import Window

# A mask without georeference lies on the scene pixel by pixel: both are put on this plane, one unit a pixel.
PIXEL_PLANE = dict(crs="EPSG:3857", transform=Affine(1, 0, 0, 0, -1, 0))


@contextmanager
def open_mask(
    path: str | os.PathLike[str],
    scene: DatasetReader,
    rule: MaskRule = TWO_CLASSES,
) -> Iterator[MaskClasses]:
    """Open a cloud mask of any grid and projection; each pixel of the scene takes the class at its middle.

    A mask without a grid, or on a scene without one, lies on the scene pixel by pixel. Pixels that it does not cover
    count as clear.

    Args:
        path: a raster of one band, or of those of the rule.
        scene: the open scene.
        rule: what in it is cloud.

    Raises:
        UserError: there is no such raster; it is no mask (several bands, complex numbers); it cannot be laid on the
            scene (no grid and another size, a grid without a CRS, ground control points, no overlap); its type or
            values do not go with the rule, see `MaskRule`; it is damaged.
    """
    name = str(located(path))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            file = _opened(path, rule)
    except RasterioError as error:
        raise UserError(f"{name}: cannot be read as a mask ({reason(error)}): give a raster of classes") from error
    with file:
        _check_kind(file, name, rule)
        place = place_on(file, name, scene)
        try:
            raster = WarpedVRT(
                file,
                **place,
                **dict(height=scene.height, width=scene.width, src_nodata=None),
                add_alpha=ColorInterp.alpha not in file.colorinterp,  # shows where the file has pixels
            )
        except (RasterioError, CRSError) as error:
            raise UserError(f"{name}: cannot be laid on the scene {redacted(scene.name)} ({reason(error)})") from error
        with raster:

            def read(window: Window) -> tuple[np.ndarray, np.ndarray]:
                part = rasterio.windows.Window(window.col, window.row, window.width, window.height)
                try:
                    known = patiently(file, lambda: raster.read_masks(1, window=part)) != 0
                    if rule.bands:
                        layers = patiently(file, lambda: raster.read(range(1, len(rule.bands) + 1), window=part))
                        return _bits_of(layers, rule, name), known
                    return patiently(file, lambda: raster.read(1, window=part)), known
                except RasterioError as error:
                    raise UserError(f"{name}: the mask cannot be read ({reason(error)}): is the file whole?") from error

            dtype = np.dtype("uint16" if rule.bands else file.dtypes[0])
            yield MaskClasses(name, read, raster.height, raster.width, dtype, file.nodata, rule)


def mask_files(path: str) -> list[Path]:
    """Return the path of a mask, and every file that its pixels come from."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with open_raster(path) as file:
                return [located(path), *source_files(file)]
    except RasterioError:
        return [located(path)]  # the fault is named when it is opened


def _opened(path: str | os.PathLike[str], rule: MaskRule) -> DatasetReader:
    """Open a mask: of several bands those of the rule, none of which GDAL then takes for transparency."""
    file = open_raster(path)
    if not rule.bands:
        return file
    with file:
        kind = KINDS[str(rule.kind)]
        if file.count != kind.bands:
            raise UserError(
                f"{located(path)}: has {file.count} bands, and {kind.title} has {kind.bands}: give that file"
            )
        return rasterio.open(stack([Layer(located(path), str(band), band) for band in rule.bands], masks=False))


def _bits_of(layers: np.ndarray, rule: MaskRule, name: str) -> np.ndarray:
    """Return bands of 0 and 1 as bits, each with its number. Shapes: (bands, h, w) -> (h, w) uint16."""
    if layers.max() > 1:
        raise UserError(
            f"{name}: holds {layers.max():g} in bands that are 0 or 1 in {KINDS[str(rule.kind)].title}: give that "
            "file, or is this the scene itself?"
        )
    return np.bitwise_or.reduce(
        [layer.astype(np.uint16) << band for layer, band in zip(layers, rule.bands, strict=True)]
    )


def _check_kind(file: DatasetReader, name: str, rule: MaskRule) -> None:
    """Refuse a raster that is not a mask."""
    check_one_page(file, name)
    bands = [colour for colour in file.colorinterp if colour != ColorInterp.alpha]
    if not rule.bands and len(bands) != 1:
        raise UserError(
            f"{name}: has {len(bands)} bands, and a mask has one, which marks cloud: take that out "
            "(gdal_translate -b N), or say --mask-kind udm2 if it is Planet's UDM2; or is this the scene itself?"
        )
    if "complex" in file.dtypes[0]:
        raise UserError(f"{name}: holds complex numbers, and a mask classes: give another file")


def place_on(file: DatasetReader, name: str, scene: DatasetReader, what: str = "mask") -> dict[str, Any]:
    """Return how a mask, or ``what`` else it is, is aligned with the scene: by georeference, or pixel by pixel.

    Raises:
        UserError: it cannot be laid on the scene, see `open_mask`.
    """
    ours, theirs, scene_name = _georeference(scene), _georeference(file), redacted(scene.name)
    if ours == theirs == "grid" and scene.crs and file.crs:
        if not _overlap(file, scene):
            raise UserError(
                f"{name}: does not overlap the scene {scene_name}: the {what} spans {_span(file)}, the scene "
                f"{_span(scene)}: is it the {what} of another scene, or is its CRS wrong?"
            )
        return dict(crs=scene.crs, transform=scene.transform)
    if "none" not in (ours, theirs) and not _same_grid(file, scene):
        which = "the scene" if ours == "points" or (theirs == "grid" and not scene.crs) else f"the {what}"
        lacks, cure = "a grid but no CRS", "assign its CRS (gdal_edit -a_srs)"
        if "points" in (ours, theirs):
            lacks, cure = "ground control points or RPCs in place of a grid", "warp it to a grid first (gdalwarp)"
        raise UserError(
            f"{name}: cannot be laid on the scene {scene_name}: {which} has {lacks}: {cure}, or give a {what} on the "
            "scene's own pixels"
        )
    if file.shape != scene.shape:
        which = "the scene" if ours == "none" else f"the {what}"
        raise UserError(
            f"{name}: {which} is not georeferenced (no CRS or transform), so the {what} lies on the scene pixel by "
            f"pixel, and it has {file.width} x {file.height} pixels, the scene {scene.width} x {scene.height}: "
            f"give a {what} of the scene's size, or georeference both"
        )
    if ours == "none" != theirs:
        logging.getLogger("declouds").warning(
            "%s: lies on the scene %s pixel by pixel, since the scene is not georeferenced", name, scene_name
        )
    return PIXEL_PLANE | {f"src_{key}": value for key, value in PIXEL_PLANE.items()}


def _georeference(data: DatasetReader) -> str:
    """Tell what says where a raster lies: ``grid``, ``points`` (ground control points or RPCs), or ``none``."""
    if not data.transform.is_identity:
        return "grid"
    return "points" if data.gcps[0] or data.rpcs else "none"


def _same_grid(file: DatasetReader, scene: DatasetReader) -> bool:
    """Tell whether both have the same pixels, by their transforms, or by their ground control points or RPCs."""
    points, others = ([data.gcps[1], *((p.row, p.col, p.x, p.y) for p in data.gcps[0])] for data in (file, scene))
    rpcs, other_rpcs = (data.rpcs.to_dict() if data.rpcs else None for data in (file, scene))
    same_transform = file.transform.almost_equals(scene.transform, 1e-6 * abs(scene.transform.a))
    same_crs = not (file.crs and scene.crs) or file.crs == scene.crs
    return file.shape == scene.shape and same_transform and same_crs and points == others and rpcs == other_rpcs


def _overlap(file: DatasetReader, scene: DatasetReader) -> bool:
    """Tell whether the boxes around mask and scene meet. From scene to mask: a mask of the world has no box in UTM."""
    try:
        left, bottom, right, top = transform_bounds(scene.crs, file.crs, *_box(scene))
    except (RasterioError, CRSError):
        return True  # WarpedVRT says what is wrong
    if not np.isfinite([left, bottom, right, top]).all() or left > right:
        return True  # not known, or across the date line
    box = _box(file)
    return left < box[2] and box[0] < right and bottom < box[3] and box[1] < top


def _box(data: DatasetReader) -> tuple[float, float, float, float]:
    """Return left, bottom, right, top of the corners, whichever way the raster is turned."""
    xs, ys = data.xy([0, 0, data.height, data.height], [0, data.width, 0, data.width], offset="ul")
    return min(xs), min(ys), max(xs), max(ys)


def _span(data: DatasetReader) -> str:
    left, bottom, right, top = _box(data)
    return f"{left:.8g} to {right:.8g}, {bottom:.8g} to {top:.8g} ({data.crs.to_string()})"
