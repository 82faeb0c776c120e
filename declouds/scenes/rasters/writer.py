"""A scene's twin: the same grid, type and description, other pixels."""

import contextlib
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import rasterio
from rasterio.dtypes import in_dtype_range
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.io import DatasetReader

from declouds.errors import UserError
from declouds.scenes.rasters.scene_file import reason
from declouds.scenes.sampling.tiles import Window

SIDECARS = (".aux.xml", ".msk", ".ovr")  # what GDAL reads beside X.tif as X.tif.msk etc., and would take for ours
LAYOUT = dict(
    **dict(driver="GTiff", bigtiff="IF_SAFER", compress="deflate"),
    **dict(tiled=True, blockxsize=256, blockysize=256, interleave="pixel"),
)
# GDAL writes these itself, or they name the input file.
OWN_NAMESPACES = {"IMAGE_STRUCTURE", "DERIVED_SUBDATASETS", "SUBDATASETS", "RPC", "TIFF"}
RGB = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)


class SceneWriter:
    """A GeoTIFF like ``scene``, written in blocks and compared with what was to be written.

    Kept: size, CRS, transform, ground control points, RPCs, type, nodata, mask, transparency, band names, colour
    interpretation, tags, scales, offsets, units. Left out: overviews and ``STATISTICS_*``, which describe the old
    values, and XML (XMP). Used as ``with SceneWriter(...) as writer``.

    Args:
        path: the file, in a folder that the caller removes when something fails.
        scene: the open original.
        indexes: numbers of its bands that the result holds.
        nodata: the value for "no data".
    """

    def __init__(self, path: Path, scene: DatasetReader, indexes: Sequence[int], nodata: float | None) -> None:
        self.path, self.scene = path, scene
        self.written: list[tuple[rasterio.windows.Window, int]] = []  # place and checksum of each block
        # A mask that follows from the nodata value is none to be written.
        self.masked = scene.mask_flag_enums[indexes[0] - 1] == [MaskFlags.per_dataset]
        alpha = scene.colorinterp.index(ColorInterp.alpha) + 1 if ColorInterp.alpha in scene.colorinterp else None
        self.copied = [alpha] if alpha is not None and alpha not in indexes else []
        self.indexes = [*indexes, *self.copied]
        dtype = np.dtype(scene.dtypes[indexes[0] - 1])
        self.profile = dict(
            LAYOUT,
            **dict(height=scene.height, width=scene.width, count=len(self.indexes), dtype=dtype.name),
            **dict(crs=scene.crs, transform=None if scene.transform.is_identity else scene.transform),
            # What rasterio refuses, as -9999 for uint8, marks no pixel anyway.
            nodata=nodata if nodata is None or in_dtype_range(nodata, dtype.name) else None,
            predictor=3 if np.issubdtype(dtype, np.floating) else 2,
            photometric="RGB" if _chosen(scene.colorinterp, self.indexes)[:3] == RGB else "MINISBLACK",
        )

    def __enter__(self) -> "SceneWriter":
        self.file = guarded(self.path, rasterio.open, self.path, "w", **self.profile)
        guarded(self.path, _describe, self.file, self.scene, self.indexes)
        return self

    def write(self, window: Window, values: np.ndarray) -> None:
        """Write a block, with the original's mask and transparency. Shapes: (bands, window.height, window.width)."""
        place = rasterio.windows.Window(window.col, window.row, window.width, window.height)
        if self.copied:
            values = np.concatenate([values, self.scene.read(self.copied, window=place)])
        checksum = zlib.crc32(values.tobytes())
        if self.masked:
            # A mask inside a GeoTIFF is yes or no.
            mask = 255 * (self.scene.read_masks(self.indexes[0], window=place) != 0).astype(np.uint8)
            guarded(self.path, self.file.write_mask, mask, window=place)
            checksum = zlib.crc32(mask.tobytes(), checksum)
        guarded(self.path, self.file.write, values, window=place)
        self.written.append((place, checksum))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            guarded(self.path, self.file.close)
            guarded(self.path, self._read_back)
        else:
            with contextlib.suppress(Exception):  # the first error counts
                self.file.close()

    def _read_back(self) -> None:
        """Compare the file with what was written: GDAL does not report every write that a full disk refuses."""
        with rasterio.open(self.path) as file:
            for place, checksum in self.written:
                found = zlib.crc32(file.read(window=place))
                if self.masked:
                    found = zlib.crc32(file.read_masks(1, window=place), found)
                if found != checksum:
                    raise OSError(f"other pixels at row {place.row_off}, column {place.col_off} than were written")


def guarded(path: Path, action: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call GDAL; a failure becomes a `UserError` that names the output."""
    try:
        return action(*args, **kwargs)
    except Exception as error:  # rasterio raises GDAL's own classes here, which share no public base
        raise UserError(
            f"{path}: cannot be written ({reason(error)}): is the disk full, or the folder read-only?"
        ) from error


def _chosen(values: Sequence[Any], indexes: Sequence[int]) -> tuple:
    """Return what belongs to the bands ``indexes``."""
    return tuple(values[index - 1] for index in indexes)


def _describe(file: Any, scene: DatasetReader, indexes: Sequence[int]) -> None:
    """Copy all metadata of the pixels."""
    points, points_crs = scene.gcps
    if points:
        file.gcps = points, points_crs or rasterio.CRS()
    if scene.rpcs is not None:
        file.rpcs = scene.rpcs
    file.colorinterp = _chosen(scene.colorinterp, indexes)
    file.descriptions = _chosen(scene.descriptions, indexes)
    # Written only where they say something: the neutral values would become tags of their own.
    if any(scale != 1 for scale in scene.scales) or any(scene.offsets):
        file.scales, file.offsets = _chosen(scene.scales, indexes), _chosen(scene.offsets, indexes)
    if any(scene.units):
        file.units = [unit or "" for unit in _chosen(scene.units, indexes)]
    for ours, theirs in enumerate([0, *indexes]):  # 0 stands for the whole file
        for namespace in [None, *scene.tag_namespaces(theirs)]:
            if namespace in OWN_NAMESPACES or (namespace or "").startswith("xml:"):
                continue
            tags = scene.tags(theirs, ns=namespace)
            file.update_tags(ours, ns=namespace, **{k: v for k, v in tags.items() if not k.startswith("STATISTICS_")})
