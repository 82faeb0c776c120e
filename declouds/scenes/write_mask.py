"""The cloud mask of a scene as a raster: the pixels that `clear_scene` would clear."""

import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.io import DatasetReader

from declouds.errors import UserError
from declouds.scenes.checks import check_files
from declouds.scenes.clear import Remover, masked_image, settings_of, with_colours
from declouds.scenes.job import FileJob
from declouds.scenes.mask_source import mask_source
from declouds.scenes.options import SceneOptions
from declouds.scenes.rasters.scene import Scene, scene_for
from declouds.scenes.rasters.scene_file import source_files
from declouds.scenes.rasters.writer import LAYOUT, SIDECARS, guarded
from declouds.scenes.sampling.image import Image
from declouds.scenes.sampling.loop import Progress
from declouds.scenes.sampling.ranks import Ranks
from declouds.scenes.sampling.tiles import Window

CLEAR, CLOUD, NO_DATA = 0, 1, 255
SIDE = 1024  # of the windows that are written: whole blocks of the file


@dataclass(frozen=True)
class MaskReport:
    """What was written.

    Args:
        path: of the mask.
        height: rows.
        width: columns.
        mask: where the clouds were taken from.
        cloudy: share of the pixels with data that are cloud.
    """

    path: Path
    height: int
    width: int
    mask: str
    cloudy: float


def write_mask(
    remover: Remover, source: Path, destination: Path, options: SceneOptions, progress: Progress | None = None
) -> MaskReport:
    """Write which pixels of a scene are cloud, on its grid: 0 is clear, 1 cloud or its shadow, 255 no data.

    Args:
        remover: whose bands, range of values and detector are used, as to clear the scene.
        source: the scene, of any kind that `open_scene` knows.
        destination: the GeoTIFF to write.
        options: the user's choices.
        progress: called after every block in which clouds are looked for.

    Raises:
        UserError: see `check_mask_files`, `scene_for`, `mask_source`, `open_mask` and `FileJob`; the output is read
            for the mask, or has appeared since the start; or the disk fills up.
    """
    if remover.value_range is None:
        options = with_colours(options, source)
    check_mask_files(source, destination, options)
    with scene_for(
        *(source, remover.value_range, remover.in_bands, remover.bands, remover.band_names, options.bands),
        scale=options.scale,
        offset=options.offset,
        nodata=options.nodata,
        trained=remover.trained,
        given=options.value_range,
    ) as scene:
        mask = mask_source(options, source, scene.file, remover.detector)
        if destination.exists() and any(file.exists() and destination.samefile(file) for file in mask.files):
            raise UserError(f"{destination}: would be replaced, and is read for the result: choose another output")
        settings = settings_of(remover, [source, *source_files(scene.file), *mask.files], scene, options, mask)
        folder = destination.with_name(f".{destination.name}.partial")
        job = FileJob(folder, dict(settings, writes="cloud mask"), *scene.size, restart=options.restart)
        try:
            if mask.detector is not None:
                job.reserve({"clouds": 1})
            with masked_image(scene, mask, options, job, Ranks(), progress) as image:
                cloudy = _write(job.folder / "mask.tif", scene, image)
            _publish(job.folder / "mask.tif", destination, options.overwrite)
        finally:
            job.remove()
    return MaskReport(destination, *scene.size, str(mask), cloudy)


def check_mask_files(source: Path, destination: Path, options: SceneOptions) -> None:
    """Refuse, before any work, choices without a mask and files that cannot be read or written.

    Raises:
        UserError: as said; see also `SceneOptions.check` and `check_files`.
    """
    options.check()
    if options.clears_all:
        raise UserError("--mask none: says that there is no mask: give --mask auto, a kind of mask, or a file")
    if destination.suffix.lower() == ".png":
        raise UserError(f"{destination}: a mask is a GeoTIFF: let its name end in .tif")
    check_files(source, destination, **options.for_files())


def _write(path: Path, scene: Scene, image: Image) -> float:
    """Write the mask, read it back, and return the share of the pixels with data that are cloud."""
    file = guarded(path, rasterio.open, path, "w", **_profile(scene.file))
    cloudy = known = 0
    written = []  # place and checksum of each window
    with file:
        file.set_band_description(1, "cloud")
        points, crs = scene.file.gcps
        if points:
            file.gcps = points, crs or rasterio.CRS()
        if scene.file.rpcs is not None:
            file.rpcs = scene.file.rpcs
        height, width = scene.size
        for row, col in product(range(0, height, SIDE), range(0, width, SIDE)):
            window = Window(row, col, min(SIDE, height - row), min(SIDE, width - col))
            valid = scene.valid(window)
            cloud = valid & (image.alpha(window) > 0) if image.alpha else valid
            values = np.where(valid, np.where(cloud, CLOUD, CLEAR), NO_DATA).astype(np.uint8)
            place = rasterio.windows.Window(col, row, window.width, window.height)
            guarded(path, file.write, values, 1, window=place)
            written.append((place, zlib.crc32(values.tobytes())))
            cloudy, known = cloudy + int(cloud.sum()), known + int(valid.sum())
        guarded(path, file.close)
    guarded(path, _read_back, path, written)
    return cloudy / max(known, 1)


def _read_back(path: Path, written: Sequence[tuple[rasterio.windows.Window, int]]) -> None:
    """Compare the file with what was written: GDAL does not report every write that a full disk refuses."""
    with rasterio.open(path) as file:
        for place, checksum in written:
            if zlib.crc32(file.read(1, window=place)) != checksum:
                raise OSError(f"other pixels at row {place.row_off}, column {place.col_off} than were written")


def _profile(scene: DatasetReader) -> dict[str, Any]:
    """Return how the file is laid out, and the scene's grid."""
    grid = dict(crs=scene.crs, transform=None if scene.transform.is_identity else scene.transform)
    return dict(LAYOUT, height=scene.height, width=scene.width, count=1, dtype="uint8", nodata=NO_DATA, **grid)


def _publish(finished: Path, destination: Path, overwrite: bool) -> None:
    """Give the mask its name."""
    if not overwrite and os.path.lexists(destination):
        raise UserError(f"{destination} has appeared since the command started: move it away and repeat the command")
    os.replace(finished, destination)
    for suffix in SIDECARS if overwrite else ():
        destination.with_name(destination.name + suffix).unlink(missing_ok=True)
