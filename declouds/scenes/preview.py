"""A quick look at a result: before and after side by side as a PNG, and a page with a slider that needs no network."""

import base64
import warnings
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
import rasterio
from rasterio.enums import ColorInterp, Resampling
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader, MemoryFile

from declouds.errors import UserError
from declouds.image_io import write_whole
from declouds.nodata import valid_pixels
from declouds.scenes.rasters.bands import COLOURS
from declouds.scenes.rasters.scene_file import reason
from declouds.scenes.rasters.spectral import spectral_words

LONGEST = 1024  # pixels of the longer side of a picture
GAP = 8  # pixels between the two images
PERCENTILES = (2, 98)  # of the result's values: what becomes black and white
RGB = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
PAGE = Path(__file__).with_name("preview.html")


def write_preview(
    before: DatasetReader,
    indexes: Sequence[int],
    after: Path,
    png: Path,
    html: Path,
    title: str,
    summary: Mapping[str, Any] | None = None,
) -> None:
    """Write both images, reduced where they are larger than 1024 pixels, in the same colours.

    Shown are the bands called red, green and blue, else the first three, or the first as grey. Colours of 8 bits stay
    as they are; other values are stretched, per band, between the 2nd and 98th percentile of the result. Pixels without
    data are transparent. The images are embedded as PNG, so that no artefact comes from compression.

    Args:
        before: the scene, open.
        indexes: numbers of its bands that the result was made from, in order.
        after: the result.
        png: the picture to write; an existing file is replaced.
        html: the page to write; likewise.
        title: what it is called.
        summary: figures to show below, by groups: see `declouds.scenes.summary.summary`.

    Raises:
        UserError: the files cannot be read, or the folder or the disk refuses.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(after) as result:
                bands = _bands_to_show(result)
                one, other = _images(before, indexes, result, bands)
                facts = _facts(before, result, bands, one.shape)
    except RasterioError as error:
        raise UserError(f"{after}: no preview could be made ({reason(error)}): are both files whole?") from error
    gap = np.zeros((4, one.shape[1], GAP), np.uint8)
    write_whole(png, _png(np.concatenate([one, gap, other], axis=2)))
    details = {name: value for name, value in (summary or {}).items() if name != "source"}  # already among the facts
    write_whole(html, page_of(title, one, other, {"scene": facts, **details}, before.height * before.width))


def _bands_to_show(result: DatasetReader) -> list[int]:
    """Return the numbers of the three bands, or of the one, that make the picture."""
    if by_name := named_colours(result.descriptions):
        return [place + 1 for place in by_name]
    if set(RGB) <= set(result.colorinterp):
        return [result.colorinterp.index(colour) + 1 for colour in RGB]
    image = [band for band in result.indexes if result.colorinterp[band - 1] != ColorInterp.alpha]
    return image[:3] if len(image) >= 3 else result.indexes[:1]


def named_colours(names: Sequence[str | None]) -> list[int]:
    """Return the places of red, green and blue among bands of these names; nothing if one is not there."""
    words = spectral_words(names)
    return [words.index(colour) for colour in COLOURS] if set(COLOURS) <= set(words) else []


def _images(
    before: DatasetReader, indexes: Sequence[int], result: DatasetReader, bands: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Return both images. Shapes: (4, h, w) uint8, the last is opacity."""
    longest = max(result.height, result.width)
    size = [max(1, round(side * min(1, LONGEST / longest))) for side in (result.height, result.width)]
    values = [
        file.read(list(chosen), out_shape=(len(chosen), *size), resampling=Resampling.average).astype(np.float64)
        for file, chosen in ((before, [indexes[band - 1] for band in bands]), (result, bands))
    ]
    valid = _valid(before, indexes, result, bands, size) & valid_pixels(np.concatenate(values), None)
    return stretched(values[0], values[1], valid, as_they_are=_are_colours(result, bands))


def stretched(
    before: np.ndarray, after: np.ndarray, valid: np.ndarray, *, as_they_are: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return two images as pictures in the same colours, those of the second one's percentiles.

    Args:
        before: the scene, 1 or 3 bands.
        after: the result.
        valid: which pixels have data; the others are transparent.
        as_they_are: the values are colours of 8 bits, which are not stretched.

    Shapes: (1 or 3, h, w), valid (h, w) bool -> (4, h, w) uint8 each, the last is opacity.
    """
    limits = [(0.0, 255.0)] * len(after)
    if not as_they_are and valid.any():
        limits = [tuple(np.percentile(band[valid], PERCENTILES)) for band in after]
    return _picture(before, valid, limits), _picture(after, valid, limits)


def _are_colours(result: DatasetReader, bands: Sequence[int]) -> bool:
    """Tell whether the values are red, green and blue of a screen already."""
    return result.dtypes[0] == "uint8" and tuple(result.colorinterp[band - 1] for band in bands) == RGB


def _valid(
    before: DatasetReader, indexes: Sequence[int], result: DatasetReader, bands: Sequence[int], size: Sequence[int]
) -> np.ndarray:
    """Tell which pixels of the picture show data. Shapes: (h, w) bool."""
    # A band that GDAL takes for transparency and the model for an image band hides nothing.
    if any(before.colorinterp[index - 1] == ColorInterp.alpha for index in indexes):
        return np.ones(size, bool)
    return (result.read_masks(list(bands), out_shape=(len(bands), *size), resampling=Resampling.average) > 0).all(0)


def _picture(values: np.ndarray, valid: np.ndarray, limits: Sequence[tuple[float, float]]) -> np.ndarray:
    """Return values as a picture. Shapes: (1 or 3, h, w) -> (4, h, w) uint8."""
    low, high = np.array(limits).T[..., None, None]
    shown = (np.where(valid, values, low) - low) * (255 / np.where(high > low, high - low, 1))
    colours = np.broadcast_to(np.clip(np.rint(shown), 0, 255), (3, *valid.shape))
    return np.concatenate([colours, 255 * valid[None]]).astype(np.uint8)


def _png(picture: np.ndarray) -> bytes:
    """Return the bytes of a PNG file."""
    bands, height, width = picture.shape
    with warnings.catch_warnings(), rasterio.Env(GDAL_PAM_ENABLED="NO"), MemoryFile() as memory:
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with memory.open(driver="PNG", count=bands, height=height, width=width, dtype="uint8") as file:
            file.write(picture)
        return bytes(memory.getbuffer())


def _facts(before: DatasetReader, result: DatasetReader, bands: Sequence[int], shape: Sequence[int]) -> dict[str, Any]:
    """Return the caption: the scene, and how it is displayed."""
    names = [result.descriptions[band - 1] or f"band {band}" for band in bands]
    facts: dict[str, Any] = {"size": f"{before.width} x {before.height} pixels"}
    if before.crs:
        east, north = before.res
        unit = "degrees" if before.crs.is_geographic else before.crs.linear_units
        facts |= {"CRS": _crs_name(before), "pixel": f"{east:g} x {north:g} {unit}"}
    facts["shown"] = ", ".join(names) + (", as red, green, blue" if len(names) == 3 else ", as grey")
    stretch = "stretched from the {}nd to the {}th percentile of the result".format(*PERCENTILES)
    facts["values"] = f"{result.dtypes[0]}, {'as they are' if _are_colours(result, bands) else stretch}"
    if shape[1:] != result.shape:
        facts["reduced"] = f"to {shape[2]} x {shape[1]} pixels, by average"
    return facts


def _crs_name(file: DatasetReader) -> str:
    """Return the CRS as people call it: its code, or else the name that its definition begins with."""
    text = file.crs.to_string()
    return text.split('"')[1] if '"' in text else text


def page_of(title: str, one: np.ndarray, other: np.ndarray, groups: Mapping[str, Any], pixels: int) -> bytes:
    """Return the page with the slider, which needs no other file.

    Args:
        title: what it is called.
        one: the picture before, see `stretched`.
        other: the picture after.
        groups: figures to show below, by groups.
        pixels: of the scene, for the shares of those that are counted.
    """
    height, width = one.shape[1:]
    images = {
        name: "data:image/png;base64," + base64.b64encode(_png(picture)).decode()
        for name, picture in (("before", one), ("after", other))
    }
    return (
        Template(PAGE.read_text(encoding="utf-8"))
        .substitute(
            **images,
            **dict(title=escape(title), width=width, height=height, rows="\n".join(_rows(groups, pixels))),
            scaling="pixelated" if max(height, width) < LONGEST // 2 else "auto",
        )
        .encode()
    )


def _rows(groups: Mapping[str, Any], pixels: int) -> Iterator[str]:
    """Return the caption's groups and figures; of pixels, the share of the scene too."""
    loose = {name: value for name, value in groups.items() if not isinstance(value, Mapping)}
    tables = {name: value for name, value in groups.items() if isinstance(value, Mapping)}
    for name, table in {**tables, "run": loose}.items():
        if not table:
            continue
        yield f"<section><h2>{escape(str(name))}</h2><dl>"
        for key, value in table.items():
            if value is None:
                continue
            text = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
            if name == "pixels":
                text += f" ({100 * value / pixels:.3g} %)"
            yield f"<div><dt>{escape(str(key))}</dt><dd>{escape(text)}</dd></div>"
        yield "</dl></section>"
