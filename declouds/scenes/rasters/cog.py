"""A finished GeoTIFF as a Cloud Optimised GeoTIFF (COG): the same pixels and tags, with overviews."""

import contextlib
import os
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import rasterio
import rasterio.shutil
from rasterio.enums import MaskFlags
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import DatasetReader, MemoryFile

from declouds.errors import UserError
from declouds.scenes.rasters.writer import OWN_NAMESPACES, guarded

# Predictor "yes": the right one for the type. Average: what a sensor of coarser pixels would measure; GDAL leaves out
# pixels without data.
OPTIONS = dict(compress="deflate", predictor="yes", bigtiff="if_safer", overview_resampling="average")
CACHE = 2**28  # bytes of blocks in memory, where GDAL's default is a share of the machine's
PARTS = ("", ".ovr.tmp", ".msk.ovr.tmp")  # the file, and where GDAL keeps overviews until it writes them into it


def write_cog(source: Path, destination: Path) -> None:
    """Copy a GeoTIFF to a Cloud Optimised GeoTIFF, and compare the pixels of both.

    Kept is everything that `SceneWriter` writes: pixels, mask, grid, ground control points, RPCs, type, nodata, names,
    colour interpretation, tags of every namespace, scales, offsets, units. Added are overviews down to 512 pixels.
    It takes less than half a GB of memory, whatever the size. On the disk, overviews take a third of the file, and once
    more that beside it until the end.

    Args:
        source: the GeoTIFF, complete.
        destination: the file to write; the caller renames it.

    Raises:
        UserError: ``destination`` exists or cannot be written; nothing is left of it then.
    """
    if os.path.lexists(destination):
        raise UserError(f"{destination} exists already: choose another name, or remove it")
    try:
        guarded(destination, _copy, source, destination)
    except BaseException:
        for part in PARTS:
            destination.with_name(destination.name + part).unlink(missing_ok=True)
        raise


def _copy(source: Path, destination: Path) -> None:
    """Copy the file with all its tags, and compare."""
    with warnings.catch_warnings(), rasterio.Env(GDAL_TIFF_INTERNAL_MASK="YES", GDAL_CACHEMAX=CACHE):
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(source) as file:
            items = _items_of_namespaces(file)
        with _with_room(source, len(items)) as (name, placeholder):
            rasterio.shutil.copy(name, destination, driver="COG", num_threads=os.cpu_count() or 1, **OPTIONS)
        if items:
            _fill(destination, placeholder, items)
        _compare(source, destination)


def _items_of_namespaces(file: DatasetReader) -> bytes:
    """Return the tags of all namespaces but the nameless one, as a GeoTIFF's `GDALMetadata` has them.

    GDAL's COG driver leaves these out. With its option COPY_SRC_MDD it would leave out the nameless ones of bands.
    """
    items = ""
    for band in range(file.count + 1):  # 0 stands for the whole file
        sample = f' sample="{band - 1}"' if band else ""
        for namespace in file.tag_namespaces(band):
            if namespace in OWN_NAMESPACES or namespace.startswith("xml:"):
                continue
            for key, value in file.tags(band, ns=namespace).items():
                twice = escape(escape(value))  # as GDAL does
                items += f"<Item name={quoteattr(key)}{sample} domain={quoteattr(namespace)}>{twice}</Item>"
    return items.encode()


@contextlib.contextmanager
def _with_room(source: Path, size: int) -> Iterator[tuple[str, bytes]]:
    """Give what GDAL copies: the file with one more tag, and how a GeoTIFF will hold that tag, at least ``size`` bytes.

    A tag that is set once the file is written would go to its end, where no reader looks first.
    """
    if not size:
        yield os.fspath(source), b""
        return
    key, room = f"ROOM_{uuid.uuid4().hex}", "-" * size
    with MemoryFile(ext=".vrt") as twin:
        rasterio.shutil.copy(source, twin.name, driver="VRT")
        with rasterio.open(twin.name, "r+") as file:
            file.update_tags(**{key: room})
        yield twin.name, f'<Item name="{key}">{room}</Item>'.encode()


def _fill(path: Path, placeholder: bytes, items: bytes) -> None:
    """Put the tags in the place that was held for them. The rest of the file stays where it is."""
    with path.open("r+b") as file:
        head, found = b"", -1
        while found < 0:
            more = file.read(2**20)
            if not more:
                raise OSError("GDAL has put the tags in another form than expected")
            head += more
            found = head.find(placeholder)
        file.seek(found)
        file.write(items.ljust(len(placeholder)))


def _compare(source: Path, destination: Path) -> None:
    """Compare pixels and mask: GDAL does not report every write that a full disk refuses."""
    with rasterio.open(source) as one, rasterio.open(destination) as other:
        masked = one.mask_flag_enums[0] == [MaskFlags.per_dataset]
        for _, window in other.block_windows(1):
            same = one.read(window=window).tobytes() == other.read(window=window).tobytes()
            if masked and same:
                same = one.read_masks(1, window=window).tobytes() == other.read_masks(1, window=window).tobytes()
            if not same:
                raise OSError(f"other pixels at row {window.row_off}, column {window.col_off} than in {source.name}")
