"""A cloud mask from a file, on any grid."""

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from typing import Any

import numpy as np
import rasterio
from rasterio.dtypes import in_dtype_range
from rasterio.enums import ColorInterp
from rasterio.errors import CRSError, NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader
from rasterio.transform import Affine
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform_bounds

from declouds.errors import UserError
from declouds.nodata import as_stored
from declouds.scenes.rasters.scene_file import reason
from declouds.scenes.sampling.tiles import Window

BLOCK = 1024  # side of the blocks in which a mask is read
MOST_CLASSES = 256  # more are no classes, and need not all be listed
CLOUD = (1, 255)  # what a mask of clear (0) and cloud may call cloud
# A mask without georeference lies on the scene pixel by pixel: both are put on this plane, one unit a pixel.
PIXEL_PLANE = dict(crs="EPSG:3857", transform=Affine(1, 0, 0, 0, -1, 0))


class MaskFile:
    """A raster of classes on the grid of a scene, as `open_mask` gives it: called with a window, it gives the cloud.

    Args:
        raster: the classes in band 1, on the scene's grid; its mask says where the file lies.
        name: of the file, for messages.
        nodata: the class that says nothing.
        values: the classes that are cloud; every one but 0 if not given.

    Attributes:
        uncovered: share of the scene that the mask says nothing about; such pixels count as clear.
        classes: those that it holds on the scene, in order.
    """

    def __init__(self, raster: WarpedVRT, name: str, nodata: Any, values: Sequence[int] | None) -> None:
        self.raster, self.name, self.values = raster, name, values
        # Many masks of 0 and 1 have nodata 0, which is "clear" to whoever wrote them.
        self.nodata = None if nodata in ([0] if values is None else values) else nodata
        self.uncovered, self.classes = self._survey()

    def __call__(self, window: Window) -> np.ndarray:
        """Return the cloud. Shapes: (window.height, window.width) bool."""
        classes, covered = self._read(window)
        cloud = classes != 0 if self.values is None else np.isin(classes, self.values)
        return cloud & covered

    def _read(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Return the classes, and where the mask says something."""
        place = rasterio.windows.Window(window.col, window.row, window.width, window.height)
        try:
            classes, covered = self.raster.read(1, window=place), self.raster.read_masks(1, window=place) != 0
        except RasterioError as error:
            raise UserError(f"{self.name}: the mask cannot be read ({reason(error)}): is the file whole?") from error
        if np.issubdtype(classes.dtype, np.floating):
            covered &= ~np.isnan(classes)
        return classes, covered if self.nodata is None else covered & (classes != self.nodata)

    def _survey(self) -> tuple[float, list[float]]:
        """Return the share of the scene that the mask does not cover, and its classes, of every pixel."""
        height, width = self.raster.shape
        covered = 0
        classes: set[float] = set()
        for row, col in product(range(0, height, BLOCK), range(0, width, BLOCK)):
            found, known = self._read(Window(row, col, min(BLOCK, height - row), min(BLOCK, width - col)))
            covered += int(known.sum())
            if len(classes) <= MOST_CLASSES:
                classes.update(np.unique(found[known]).tolist())
        return 1 - covered / (height * width), sorted(classes)


@contextmanager
def open_mask(
    path: str | os.PathLike[str], scene: DatasetReader, values: Sequence[int] | None = None
) -> Iterator[MaskFile]:
    """Open a cloud mask of any grid and projection; each pixel of the scene takes the class at its middle.

    Where the scene or the mask has no CRS, the mask lies on the scene pixel by pixel. Pixels that it does not cover,
    and those of its nodata value, count as clear.

    Args:
        path: a raster of one band of classes.
        scene: the open scene.
        values: the classes that are cloud; if not given, the mask has two: 0 for clear, and one other.

    Raises:
        UserError: there is no such raster; it is no mask (several bands, complex numbers); it cannot be laid on the
            scene (no CRS and another size, no overlap); it has several classes and ``values`` does not say which are
            cloud, or ``values`` holds some that its type cannot; it is damaged.
    """
    name = os.fspath(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            file = rasterio.open(path)
    except RasterioError as error:
        raise UserError(f"{name}: cannot be read as a mask ({reason(error)}): give a raster of classes") from error
    with file:
        _check_kind(file, name, values)
        place = _place(file, name, scene)
        try:
            raster = WarpedVRT(
                file,
                **place,
                **dict(height=scene.height, width=scene.width, src_nodata=None),
                add_alpha=ColorInterp.alpha not in file.colorinterp,  # tells where the file lies
            )
        except (RasterioError, CRSError) as error:
            raise UserError(f"{name}: cannot be laid on the scene {scene.name} ({reason(error)})") from error
        with raster:
            mask = MaskFile(raster, name, as_stored(file.nodata, np.dtype(file.dtypes[0])), values)
            if values is None:
                check_two_classes(name, mask.classes)
            yield mask


def check_two_classes(name: str, classes: Sequence[float]) -> None:
    """Refuse a mask whose classes do not say themselves which of them are cloud.

    Raises:
        UserError: it holds something else than 0 for clear and 1 or 255 for cloud.
    """
    others = [value for value in classes if value != 0]
    if len(others) > 1 or (others and others[0] not in CLOUD):
        raise UserError(
            f"{name}: holds the values {_listed(classes)}, and only 0 (clear) with 1 or 255 (cloud) speak for "
            "themselves: give those that mean cloud or shadow with --mask-values, see the documentation of the mask; a "
            "probability needs a threshold first"
        )


def _check_kind(file: DatasetReader, name: str, values: Sequence[int] | None) -> None:
    """Refuse a raster that is no mask."""
    bands = [colour for colour in file.colorinterp if colour != ColorInterp.alpha]
    if len(bands) != 1:
        raise UserError(
            f"{name}: has {len(bands)} bands, and a mask has one: take it out (gdal_translate -b 1), "
            "or is this the scene itself?"
        )
    if "complex" in file.dtypes[0]:
        raise UserError(f"{name}: holds complex numbers, and a mask classes: give another file")
    odd = [value for value in values or () if not in_dtype_range(value, file.dtypes[0])]
    if odd:
        raise UserError(f"{name}: is {file.dtypes[0]}, which cannot hold the cloud values {_listed(odd)}: correct them")


def _place(file: DatasetReader, name: str, scene: DatasetReader) -> dict[str, Any]:
    """Return what lays the mask on the scene: their places on earth, or pixel by pixel."""
    nowhere = [data for data in (scene, file) if data.crs is None or data.transform.is_identity]
    if nowhere:
        if file.shape != scene.shape:
            which = "the scene" if nowhere[0] is scene else "the mask"
            raise UserError(
                f"{name}: {which} has no place on earth (CRS and transform), so the mask lies on the scene pixel by "
                f"pixel, and it has {file.width} x {file.height} pixels, the scene {scene.width} x {scene.height}: "
                "give a mask of the scene's size, or georeference both"
            )
        return PIXEL_PLANE | {f"src_{key}": value for key, value in PIXEL_PLANE.items()}
    if not _overlap(file, scene):
        raise UserError(
            f"{name}: does not overlap the scene {scene.name}: the mask spans {_span(file)}, the scene {_span(scene)}: "
            "is it the mask of another scene, or is its CRS wrong?"
        )
    return dict(crs=scene.crs, transform=scene.transform)


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


def _listed(values: Sequence[float], separator: str = ", ") -> str:
    more = ["..."] if len(values) > 8 else []
    return separator.join([*(f"{value:g}" for value in values[:8]), *more])
