"""A box of a raster on the web, laid on a grid, as a GeoTIFF."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.enums import Resampling
from rasterio.errors import CRSError, RasterioError
from rasterio.io import DatasetReader
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform_bounds
from rasterio.windows import Window, from_bounds
from rasterio.windows import transform as place_of

from declouds.atomic_file import replacing
from declouds.errors import UserError
from declouds.fetching.search import Box
from declouds.scenes.rasters.scene_file import reason
from declouds.scenes.rasters.stack import Layer, band_number
from declouds.scenes.rasters.web import open_raster, patiently
from declouds.scenes.rasters.writer import LAYOUT, guarded

BLOCK = 512  # side of what is read and written at a time
MOST = 2**29  # pixels of a box, as of five Sentinel-2 tiles


@dataclass(frozen=True)
class Grid:
    """Where the pixels of a box are.

    Attributes:
        crs: its coordinates.
        transform: from pixels to coordinates.
        width: columns.
        height: rows.
    """

    crs: Any
    transform: Any
    width: int
    height: int

    def as_file(self) -> dict[str, Any]:
        """Return what a GeoTIFF has to say of it."""
        return dict(crs=self.crs, transform=self.transform, width=self.width, height=self.height)

    def is_of(self, file: DatasetReader) -> bool:
        """Tell whether a file lies on it."""
        size = (file.width, file.height) == (self.width, self.height)
        return size and file.crs == self.crs and file.transform.almost_equals(self.transform)


def grid_of(layer: Layer, box: Box) -> Grid:
    """Return the pixels of a raster that a box touches.

    Raises:
        UserError: the raster cannot be read, has no grid, or the box has no pixel of it, or too many.
    """
    with open_raster(layer.path) as file:
        if file.crs is None or file.transform.b or file.transform.d:
            raise UserError(
                f"{layer.path}: has no grid with north up, so no box can be cropped: fetch another collection"
            )
        try:
            bounds = transform_bounds("EPSG:4326", file.crs, *box)
        except (CRSError, RasterioError) as error:
            raise UserError(f"{layer.path}: the box is not on its map ({file.crs.to_string()}): check it") from error
        found = from_bounds(*bounds, file.transform)
        top, left = max(0, int(np.floor(found.row_off + 1e-6))), max(0, int(np.floor(found.col_off + 1e-6)))
        bottom = min(file.height, int(np.ceil(found.row_off + found.height - 1e-6)))
        right = min(file.width, int(np.ceil(found.col_off + found.width - 1e-6)))
        window = Window(left, top, right - left, bottom - top)
        if window.width < 1 or window.height < 1 or window.width * window.height > MOST:
            raise UserError(
                f"{layer.path}: the box is {max(0, window.width)} x {max(0, window.height)} of its pixels: give one "
                f"with some of them, and at most {MOST / 1e6:.0f} million"
            )
        return Grid(file.crs, place_of(window, file.transform), window.width, window.height)


def check_types(layers: Sequence[Layer]) -> None:
    """Refuse layers that cannot be the bands of one file.

    Raises:
        UserError: they differ in type or nodata value, or one cannot be read.
    """
    with ExitStack() as stack:
        _common_type([(layer, stack.enter_context(open_raster(layer.path))) for layer in layers])


def write_crop(
    path: Path,
    layers: Sequence[Layer],
    grid: Grid,
    tags: Mapping[str, str],
    moved: Callable[[], None],
    *,
    classes: bool = False,
) -> None:
    """Write layers on a grid as the bands of a GeoTIFF, complete or not at all.

    Where a layer has pixels of this grid, they are copied; else it is interpolated.

    Args:
        path: the file, which replaces one that exists.
        layers: where the bands are, with their units and names.
        grid: of the file.
        tags: of the file.
        moved: called after each block of each band.
        classes: pixels are numbers of classes, which are never interpolated.

    Raises:
        UserError: a layer cannot be read, or differs from the others in type or nodata value; or the disk refuses.
    """
    with ExitStack() as stack:
        bands = [_open(layer, grid, classes, stack) for layer in layers]
        dtype, nodata = _common_type([(band.layer, band.file) for band in bands])
        profile = dict(driver="GTiff", count=len(bands), dtype=dtype, nodata=nodata, **grid.as_file())
        profile |= LAYOUT | dict(interleave="band", photometric="minisblack")
        with replacing(path, only_writer=True) as temporary:
            written = guarded(path, rasterio.open, temporary, "w", **profile)
            with written:
                written.descriptions = [band.layer.name for band in bands]
                written.scales = [band.scale for band in bands]
                written.offsets = [band.offset for band in bands]
                written.update_tags(**tags)
                for index, band in enumerate(bands, 1):
                    for window in blocks(grid):
                        guarded(path, written.write, band.read(window), index, window=window)
                        moved()
                guarded(path, written.close)


def blocks(grid: Grid) -> Iterator[Window]:
    """Yield the windows that are read and written at a time."""
    for row in range(0, grid.height, BLOCK):
        for col in range(0, grid.width, BLOCK):
            yield Window(col, row, min(BLOCK, grid.width - col), min(BLOCK, grid.height - row))


@dataclass(frozen=True)
class _Band:
    """A layer, open.

    Attributes:
        layer: what it is.
        file: that it lies in.
        number: of its band there.
        raster: the same on the grid.
    """

    layer: Layer
    file: DatasetReader
    number: int
    raster: WarpedVRT

    @property
    def scale(self) -> float:
        """Measured value = stored value * scale + offset."""
        return self.file.scales[self.number - 1] if self.layer.scale is None else self.layer.scale

    @property
    def offset(self) -> float:
        """See there."""
        return self.file.offsets[self.number - 1] if self.layer.offset is None else self.layer.offset

    def read(self, window: Window) -> np.ndarray:
        """Return pixels on the grid. Shapes: (h, w).

        Raises:
            UserError: the server does not give them.
        """
        return patiently(self.file, lambda: self.raster.read(self.number, window=window))


def _open(layer: Layer, grid: Grid, classes: bool, stack: ExitStack) -> _Band:
    """Open a layer, and lay it on a grid."""
    file = stack.enter_context(open_raster(layer.path))
    number = band_number(file, layer)
    nodata = _nodata(layer, file, number)
    how = Resampling.nearest if classes or _has_pixels_of(file, grid) else Resampling.bilinear
    try:
        raster = WarpedVRT(file, **grid.as_file(), resampling=how, src_nodata=nodata, nodata=nodata)
    except (RasterioError, CRSError, ValueError) as error:
        raise UserError(
            f"{layer.path}: cannot be laid on the grid of the target ({reason(error)}): leave that day out"
        ) from error
    return _Band(layer, file, number, stack.enter_context(raster))


def _common_type(opened: Sequence[tuple[Layer, DatasetReader]]) -> tuple[str, float | None]:
    """Return the type of the pixels of open layers, and their nodata value."""
    path, numbers = opened[0][0].path, [band_number(file, layer) for layer, file in opened]
    types = [file.dtypes[number - 1] for (_, file), number in zip(opened, numbers, strict=True)]
    missing = [_nodata(layer, file, number) for (layer, file), number in zip(opened, numbers, strict=True)]
    if len(set(types)) > 1:
        raise UserError(f"{path}: the bands have several types ({', '.join(types)}): fetch those of one")
    if len(set(map(str, missing))) > 1:
        raise UserError(f"{path}: the bands have different nodata values: fetch those of one")
    return types[0], missing[0]


def _nodata(layer: Layer, file: DatasetReader, number: int) -> float | None:
    """Return the value that means "no data"; it is asked for in a file, if an item does not give it."""
    return file.nodatavals[number - 1] if layer.nodata is None else layer.nodata


def _has_pixels_of(file: DatasetReader, grid: Grid) -> bool:
    """Tell whether the pixels of a grid are pixels of a file."""
    own, wanted = file.transform, grid.transform
    if file.crs != grid.crs or not np.allclose([own.a, own.b, own.d, own.e], [wanted.a, 0, 0, wanted.e]):
        return False
    offset = np.array([(wanted.c - own.c) / own.a, (wanted.f - own.f) / own.e])
    return np.allclose(offset, np.round(offset), rtol=0, atol=1e-3)
