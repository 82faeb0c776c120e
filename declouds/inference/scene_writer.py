"""A scene's twin, which appears under its name only when it is whole."""

import contextlib
import os
import uuid
import zlib
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import rasterio
from rasterio.dtypes import in_dtype_range
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.io import DatasetReader

from declouds.errors import UserError
from declouds.inference.geotiff import reason
from declouds.inference.tiles import Window

SIDECARS = (".aux.xml", ".msk", ".ovr")  # what GDAL reads beside X.tif as X.tif.msk etc., and would take for ours
LAYOUT = dict(
    **dict(driver="GTiff", bigtiff="IF_SAFER", compress="deflate"),
    **dict(tiled=True, blockxsize=256, blockysize=256, interleave="pixel"),
)
# GDAL writes these itself, or they name the input file.
OWN_NAMESPACES = {"IMAGE_STRUCTURE", "DERIVED_SUBDATASETS", "SUBDATASETS", "RPC", "TIFF"}
RGB = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)


class SceneWriter:
    """A GeoTIFF like ``scene``, written in blocks to a temporary file in the same folder, and renamed at the end.

    Kept: size, CRS, transform, ground control points, RPCs, type, nodata, mask, band names, colour interpretation,
    tags, scales, offsets, units. Left out: overviews and ``STATISTICS_*``, which tell of the old values, and XML (XMP).
    Used as ``with SceneWriter(...) as writer``: on any exception the temporary file is removed.

    Args:
        path: where the file will be.
        scene: the open original.
        bands: how many of its bands, from the first.
        nodata: the value for "no data".
        overwrite: replace what is at ``path``.
    """

    def __init__(
        self, path: Path, scene: DatasetReader, bands: int, nodata: float | None, overwrite: bool = False
    ) -> None:
        self.path, self.scene, self.bands, self.overwrite = path, scene, bands, overwrite
        self.temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.partial")
        self.written: list[tuple[rasterio.windows.Window, int]] = []  # place and checksum of each block
        # A mask that follows from the nodata value is none to be written.
        self.masked = scene.mask_flag_enums[0] == [MaskFlags.per_dataset]
        dtype = np.dtype(scene.dtypes[0])
        self.profile = dict(
            LAYOUT,
            **dict(height=scene.height, width=scene.width, count=bands, dtype=dtype.name),
            **dict(crs=scene.crs, transform=None if scene.transform.is_identity else scene.transform),
            # What rasterio refuses, as -9999 for uint8, marks no pixel anyway.
            nodata=nodata if nodata is None or in_dtype_range(nodata, dtype.name) else None,
            predictor=3 if np.issubdtype(dtype, np.floating) else 2,
            photometric="RGB" if scene.colorinterp[:bands][:3] == RGB else "MINISBLACK",
        )

    def __enter__(self) -> "SceneWriter":
        try:
            self.file = self._guarded(rasterio.open, self.temporary, "w", **self.profile)
            self._guarded(_describe, self.file, self.scene, self.bands)
        except BaseException:
            self._discard()
            raise
        return self

    def write(self, window: Window, values: np.ndarray) -> None:
        """Write a block, with the original's mask. Shapes: (bands, window.height, window.width)."""
        place = rasterio.windows.Window(window.col, window.row, window.width, window.height)
        checksum = zlib.crc32(values.tobytes())
        if self.masked:
            mask = self.scene.read_masks(1, window=place)
            self._guarded(self.file.write_mask, mask, window=place)
            checksum = zlib.crc32(mask, checksum)
        self._guarded(self.file.write, values, window=place)
        self.written.append((place, checksum))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._guarded(self.file.close)
                self._guarded(self._read_back)
                if not self.overwrite and os.path.lexists(self.path):
                    raise UserError(f"{self.path} was made by someone else meanwhile: choose another name")
                os.replace(self.temporary, self.path)
                for suffix in SIDECARS if self.overwrite else ():
                    self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
        finally:
            self._discard()

    def _read_back(self) -> None:
        """Compare the file with what was written: GDAL does not report every write that a full disk refuses."""
        with rasterio.open(self.temporary) as file:
            for place, checksum in self.written:
                found = zlib.crc32(file.read(window=place))
                if self.masked:
                    found = zlib.crc32(file.read_masks(1, window=place), found)
                if found != checksum:
                    raise OSError(f"other pixels at row {place.row_off}, column {place.col_off} than were written")

    def _discard(self) -> None:
        """Close the file, whatever state it is in, and remove it unless it has its final name already."""
        try:
            if hasattr(self, "file"):
                with contextlib.suppress(Exception):  # the first error counts, and the file goes away
                    self.file.close()
        finally:
            self.temporary.unlink(missing_ok=True)

    def _guarded(self, action: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call GDAL; a failure becomes a `UserError` that names the output."""
        try:
            return action(*args, **kwargs)
        except Exception as error:  # rasterio lets GDAL's own classes out here, which share no public base
            raise UserError(
                f"{self.path}: cannot be written ({reason(error)}): is the disk full, or the folder read-only?"
            ) from error


def _describe(file: Any, scene: DatasetReader, bands: int) -> None:
    """Copy everything that tells what the pixels are."""
    points, points_crs = scene.gcps
    if points:
        file.gcps = points, points_crs
    if scene.rpcs is not None:
        file.rpcs = scene.rpcs
    file.colorinterp = scene.colorinterp[:bands]
    file.descriptions = scene.descriptions[:bands]
    # Written only where they say something: the neutral values would become tags of their own.
    if any(scale != 1 for scale in scene.scales) or any(scene.offsets):
        file.scales, file.offsets = scene.scales[:bands], scene.offsets[:bands]
    if any(scene.units):
        file.units = [unit or "" for unit in scene.units[:bands]]
    for band in range(bands + 1):  # 0 stands for the whole file
        for namespace in [None, *scene.tag_namespaces(band)]:
            if namespace in OWN_NAMESPACES or (namespace or "").startswith("xml:"):
                continue
            tags = scene.tags(band, ns=namespace)
            file.update_tags(band, ns=namespace, **{k: v for k, v in tags.items() if not k.startswith("STATISTICS_")})
