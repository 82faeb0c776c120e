"""Whole images in and out: PNG, JPEG and GeoTIFF as arrays of the sensor's own type, and a broken file never as pixels.

GDAL alone does not notice every broken file: a PNG cut short may come back as left-over memory, a GeoTIFF whose writer
was killed comes back as zeros where blocks are missing. These are looked for here, in the bytes, before pixels are
trusted.
"""

import os
import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import rasterio
from rasterio.enums import ColorInterp, Interleaving, MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader, MemoryFile
from rasterio.windows import Window

from declouds.atomic_file import replacing
from declouds.errors import UserError
from declouds.nodata import is_opacity

# First bytes -> GDAL driver. A closed list: other formats (VRT, ...) can point at other files or at the network.
DRIVERS = {
    b"\x89PNG": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"II*\0": "GTiff",
    b"MM\0*": "GTiff",
    b"II+\0": "GTiff",
    b"MM\0+": "GTiff",
}
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
GDAL_OPTIONS = {
    "GDAL_PAM_ENABLED": "NO",  # no .aux.xml written beside, or read from beside, an image
    "GDAL_DISABLE_READDIR_ON_OPEN": "TRUE",  # otherwise each open lists a folder of thousands of images
    "GDAL_ERROR_ON_LIBJPEG_WARNING": "TRUE",  # a JPEG cut short is an error, not grey pixels
}
ORIENTATION_TAG = 274
PNG_HEADER = 33  # bytes of signature and first chunk
LOOKED_AT = 16  # rows of a band that may be transparency


class ImageHeader(NamedTuple):
    """What the header of an image file says.

    ``image_bands`` are the numbers, from 1, of the bands that are not transparency. ``has_gaps`` is whether some of
    the pixels may have no data. ``units`` holds the scale and offset of each band. ``orientation``: see `orientation`.
    ``names`` are the descriptions of the bands, else the colours red, green and blue that the file gives them; '' where
    there is neither.
    """

    bands: int
    height: int
    width: int
    dtype: str
    image_bands: tuple[int, ...]
    has_gaps: bool
    nodata: float | None
    units: tuple[tuple[float, float], ...]
    orientation: int = 1
    names: tuple[str, ...] = ()


def image_header(path: str | os.PathLike[str], palette: bool = False) -> ImageHeader:
    """Read the header of an image file.

    Args:
        path: of the file.
        palette: take palette indices for values, as in a mask of classes.

    Raises:
        UserError: the file is missing, no image we read, or broken so early that the header is lost.
    """
    with _open(Path(path), palette) as image:
        return _header(image)


def read_image(path: str | os.PathLike[str], palette: bool = False) -> np.ndarray:
    """Read every band of an image file, in the file's own type.

    Args:
        path: of the file.
        palette: see `image_header`.

    Shapes: (C, H, W).
    Units: sensor units, as stored.

    Raises:
        UserError: the file is missing, no image we read, cut short or damaged. (A changed byte inside a JPEG or an
            uncompressed GeoTIFF cannot be noticed: these formats carry no checksum.)
    """
    with _open(Path(path), palette) as image:
        _check_whole(Path(path), image)
        return image.read()


Place = tuple[int, int, int, int]  # top, left, height and width of a window, in pixels


def read_masked(
    path: str | os.PathLike[str],
    bands: Sequence[int] | None = None,
    palette: bool = False,
    place: Place | None = None,
) -> tuple[ImageHeader, np.ndarray, np.ndarray | None]:
    """Read the header, every band, and the masks of an image file: its own, or bands of transparency.

    Args:
        path: of the file.
        bands: numbers, from 1, of the bands that will be used, where they were chosen: one of them is no mask.
        palette: see `image_header`.
        place: read this window alone; the rest of a GeoTIFF is not decoded.

    Shapes: bands (C, H, W), masks (any number, H, W): 0 where a pixel has no data.
    Units: sensor units, as stored.

    Raises:
        UserError: see `read_image`; blocks that the file's own mask or nodata value explains may be missing. A band
            marked as transparency is measured, and no bands were chosen.
    """
    with _open(Path(path), palette) as image:
        window = None if place is None else Window(place[1], place[0], place[3], place[2])
        _check_whole(Path(path), image, masked=True, window=window)
        values, masks = image.read(window=window), []
        for band in _transparency(image):
            if band not in (bands or ()) and is_opacity(values[band - 1]):
                masks.append(values[band - 1])
            elif bands is None:
                raise UserError(
                    f"{path}: band {band} is marked as transparency, and its values vary as those of a measured band: "
                    f"unmark it (gdal_translate -colorinterp_{band} undefined, into a GeoTIFF), or take it out; in a "
                    "data module, choose with `bands`"
                )
        if image.mask_flag_enums[0] == [MaskFlags.per_dataset]:
            masks.append(image.read_masks(1, window=window))
        return _header(image), values, np.stack(masks) if masks else None


def write_image(path: str | os.PathLike[str], array: np.ndarray, overwrite: bool = False) -> Path:
    """Write an array (C, H, W) as PNG or GeoTIFF, by the suffix of ``path``, and return the path written.

    Without a suffix it is chosen and appended: ``.png`` for uint8 with 1 to 4 bands, else ``.tif``. The file appears
    under its name only when it is complete.

    Raises:
        UserError: the file exists and ``overwrite`` is False, its folder does not, or the format cannot hold the array.
    """
    path = Path(path)
    fits_png = array.dtype == np.uint8 and array.ndim == 3 and 1 <= array.shape[0] <= 4
    if not path.suffix:
        path = path.with_suffix(".png" if fits_png else ".tif")
    suffix = path.suffix.lower()
    if array.ndim != 3 or 0 in array.shape:
        raise UserError(f"{path}: an image is an array (bands, height, width); got shape {array.shape}")
    if suffix not in (".png", ".tif", ".tiff"):
        raise UserError(f"{path}: images are written as .png or .tif, not {suffix}")
    if suffix == ".png" and not fits_png:
        raise UserError(
            f"{path}: a PNG holds uint8 with 1 to 4 bands, not {array.dtype} with {len(array)}: write a .tif"
        )
    if path.exists() and not overwrite:
        raise UserError(f"{path} exists already: choose another name, or ask to overwrite it")
    if not path.parent.is_dir():
        raise UserError(f"{path}: the folder {path.parent} does not exist: create it first")
    write_whole(path, _encode(array, "PNG" if suffix == ".png" else "GTiff"))
    return path


def _header(image: DatasetReader) -> ImageHeader:
    transparent = _transparency(image)
    own_mask = MaskFlags.per_dataset in image.mask_flag_enums[0]
    return ImageHeader(
        *(image.count, image.height, image.width, image.dtypes[0]),
        image_bands=tuple(band for band in image.indexes if band not in transparent),
        has_gaps=own_mask or bool(transparent) or image.nodata is not None or image.dtypes[0].startswith("float"),
        nodata=image.nodata,
        units=tuple(zip(image.scales, image.offsets, strict=True)),
        orientation=orientation(image),
        names=tuple(_name_of(*band) for band in zip(image.descriptions, image.colorinterp, strict=True)),
    )


def _name_of(description: str | None, colour: ColorInterp) -> str:
    return description or (colour.name if colour in (ColorInterp.red, ColorInterp.green, ColorInterp.blue) else "")


def orientation(image: DatasetReader) -> int:
    """Return how the EXIF data of a JPEG or PNG turn it in viewers, 2 to 8; 1 if they do not. GDAL does not turn it."""
    if image.driver == "JPEG":
        found = image.tags().get("EXIF_Orientation", "")
        return int(found) if found in tuple("2345678") else 1
    return _orientation_in(_png_exif(Path(image.name))) if image.driver == "PNG" else 1


def _png_exif(path: Path) -> bytes:
    """Return the content of the chunk eXIf of a PNG; empty if it has none."""
    with path.open("rb") as file:
        file.seek(8)  # the signature
        while len(head := file.read(8)) == 8 and head[4:] != b"IEND":
            (length,) = struct.unpack(">I", head[:4])
            if head[4:] == b"eXIf":
                return file.read(length)
            file.seek(length + 4, os.SEEK_CUR)
    return b""


def _orientation_in(exif: bytes) -> int:
    order = ">" if exif.startswith(b"MM") else "<"
    with suppress(struct.error):  # damaged, or none at all: viewers ignore it too
        (start,) = struct.unpack_from(f"{order}I", exif, 4)
        (count,) = struct.unpack_from(f"{order}H", exif, start)
        for entry in range(count):
            tag, _, _, value = struct.unpack_from(f"{order}HHIH", exif, start + 2 + 12 * entry)
            if tag == ORIENTATION_TAG:
                return value if 2 <= value <= 8 else 1
    return 1


def with_orientation(png: bytes, turn: int) -> bytes:
    """Return a PNG with an EXIF orientation, in a chunk behind its header."""
    chunk = b"eXIf" + b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, ORIENTATION_TAG, 3, 1, turn, 0, 0)
    whole = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return png[:PNG_HEADER] + whole + png[PNG_HEADER:]


def _transparency(image: DatasetReader) -> list[int]:
    """Return the numbers of the bands that say how transparent a pixel is.

    GDAL marks the last of four 8-bit bands of a GeoTIFF so by default: there, values in some rows decide.
    """
    bands = [band for band in image.indexes if image.colorinterp[band - 1] == ColorInterp.alpha]
    if not (bands and image.driver == "GTiff" and image.count == 4 and image.dtypes[0] == "uint8"):
        return bands
    rows = np.linspace(0, image.height - 1, LOOKED_AT).astype(int)
    looked_at = [image.read(bands, window=Window(0, row, image.width, 1)) for row in rows]
    return bands if is_opacity(np.concatenate(looked_at)) else []


def _check_whole(path: Path, image: DatasetReader, masked: bool = False, window: Window | None = None) -> None:
    """Look for what a file lacks and GDAL does not notice."""
    if image.driver == "PNG":
        _check_png_is_whole(path)
    elif image.driver == "JPEG":
        _check_jpeg_is_whole(path)
    elif image.driver == "GTiff" and not (masked and image.nodata is not None) and missing_block(image, masked, window):
        raise UserError(
            f"{path}: the GeoTIFF lacks pixels (its writer was stopped, or it is sparse): write it again, without "
            "SPARSE_OK"
        )


@contextmanager
def _open(path: Path, palette: bool = False) -> Iterator[DatasetReader]:
    """Open an image quietly; every failure of GDAL inside the block becomes a `UserError` that names the file."""
    driver = _driver_of(path)
    try:
        with _quiet_gdal(), rasterio.open(path, driver=driver) as image:
            if image.count == 0:
                raise UserError(f"{path}: holds no bands of its own: give one of its sub-images as a GeoTIFF")
            check_one_page(image, path)
            if "complex" in image.dtypes[0]:
                raise UserError(f"{path}: holds complex numbers: convert it to real bands first")
            if ColorInterp.palette in image.colorinterp and not palette:
                raise UserError(
                    f"{path}: holds palette numbers, not colours: convert it first (gdal_translate -expand rgb)"
                )
            yield image
    except RasterioError as error:
        cause: Any = error.__cause__ or error
        reason = " ".join(str(getattr(cause, "errmsg", cause)).split())
        raise UserError(
            f"{path}: the {driver} is cut short or damaged ({reason}): replace the file or leave the image out"
        ) from error


def _driver_of(path: Path) -> str:
    """Tell the format by the first bytes, whatever the file is called."""
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise UserError(f"{path}: cannot be opened ({error.strerror}): check the path") from error
    for mark, driver in DRIVERS.items():
        if start.startswith(mark):
            return driver
    raise UserError(f"{path}: is not a PNG, JPEG or GeoTIFF, or is empty: replace the file or leave the image out")


@contextmanager
def _quiet_gdal() -> Iterator[None]:
    """Set GDAL's options, and drop the warning that a PNG has no coordinates."""
    with warnings.catch_warnings(), rasterio.Env(**GDAL_OPTIONS):
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


def _check_png_is_whole(path: Path) -> None:
    """Walk the chunks of a PNG to its end mark; each carries its length and a checksum."""
    data = memoryview(path.read_bytes())
    at, kind = 8, b""  # 8: the signature
    while kind != b"IEND":
        if at + 12 > len(data):
            raise UserError(f"{path}: the PNG is cut short: replace the file or leave the image out")
        (length,) = struct.unpack(">I", data[at : at + 4])
        kind = bytes(data[at + 4 : at + 8])
        end = at + 8 + length
        if end + 4 > len(data):
            raise UserError(f"{path}: the PNG is cut short: replace the file or leave the image out")
        if zlib.crc32(data[at + 4 : end]) != struct.unpack(">I", data[end : end + 4])[0]:
            raise UserError(f"{path}: the PNG is damaged (checksum): replace the file or leave the image out")
        at = end + 4


def _check_jpeg_is_whole(path: Path) -> None:
    """Look for the end mark after the start of the last scan; neither mark can occur inside a scan."""
    data = path.read_bytes()
    if data.rfind(b"\xff\xd9") <= data.rfind(b"\xff\xda"):
        raise UserError(f"{path}: the JPEG is cut short: replace the file or leave the image out")


def missing_block(image: DatasetReader, masked: bool = False, window: Window | None = None) -> tuple[int, int] | None:
    """Return row and column of the first block that has no place in a GeoTIFF; GDAL gives zeros, or nodata, for it.

    Args:
        image: the open file.
        masked: leave out blocks that the file's own mask declares empty, as in a sparse COG.
        window: look at the blocks that it touches alone.
    """
    masked = masked and image.mask_flag_enums[0] == [MaskFlags.per_dataset]
    bands = image.indexes if image.interleaving == Interleaving.band else image.indexes[:1]
    height, width = image.block_shapes[0]
    seen = window or Window(0, 0, image.width, image.height)
    rows = range(seen.row_off // height, -(-(seen.row_off + seen.height) // height))
    columns = range(seen.col_off // width, -(-(seen.col_off + seen.width) // width))
    for band, row, col in product(bands, rows, columns):
        if image.get_tag_item(f"BLOCK_OFFSET_{col}_{row}", "TIFF", bidx=band) in (None, "0"):
            block = Window(col * width, row * height, width, height).intersection(
                Window(0, 0, image.width, image.height)
            )
            if not (masked and not image.read_masks(1, window=block).any()):
                return row * height, col * width
    return None


def check_one_page(image: DatasetReader, source: Path | str) -> None:
    """Refuse a TIFF of several images, of which GDAL gives the first; smaller ones are overviews or thumbnails.

    Raises:
        UserError: with how to take one of them out.
    """
    pages: list[str] = []
    with suppress(Exception):  # a directory that cannot be read is no page; GDAL's own classes share no base
        pages = image.subdatasets if image.driver == "GTiff" else []
        _ = image.colorinterp  # rasterio raises here what GDAL noted meanwhile, instead of at some later call
    if any(_is_large(page, image) for page in pages[1:]):
        raise UserError(
            f"{source}: holds {len(pages)} images (pages), and one is read: give a file for each "
            "(gdal_translate GTIFF_DIR:N:FILE.tif PAGE.tif, N from 1)"
        )


def _is_large(name: str, image: DatasetReader) -> bool:
    """Tell whether a page is as high or as wide as the first, or cannot be opened."""
    try:
        with rasterio.open(name) as page:
            return page.height >= image.height or page.width >= image.width
    except RasterioError:
        return True


def _encode(array: np.ndarray, driver: str) -> bytes:
    """Return the bytes of a PNG or GeoTIFF file."""
    bands, height, width = array.shape
    options = {"compress": "deflate"} if driver == "GTiff" else {}
    if driver == "GTiff" and bands == 4 and array.dtype == np.uint8:
        options |= {"photometric": "RGB", "alpha": "UNSPECIFIED"}  # the fourth band is an image band
    with _quiet_gdal(), MemoryFile() as memory:
        with memory.open(
            driver=driver, count=bands, height=height, width=width, dtype=array.dtype.name, **options
        ) as image:
            image.write(array)
        return bytes(memory.getbuffer())


def write_whole(path: Path, data: bytes) -> None:
    """Write bytes under a temporary name in the same folder, then rename, so that ``path`` is never half-written.

    Raises:
        UserError: the folder or the disk refuses.
    """
    try:
        with replacing(path) as temporary:
            temporary.write_bytes(data)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}): check the folder and the disk") from error
