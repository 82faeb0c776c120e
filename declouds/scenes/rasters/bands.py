"""Which bands of a scene a model gets, and in which order: as asked, by name, or all there are. Never guessed."""

import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from rasterio.enums import ColorInterp
from rasterio.io import DatasetReader

from declouds.errors import UserError
from declouds.scenes.rasters.spectral import spectral_words
from declouds.wavelengths import CENTRES, sees_ground

COLOURS = ("red", "green", "blue")


class FurtherBand(NamedTuple):
    """A band of a scene that the model does not take.

    Attributes:
        number: from 1.
        name: what it is called, by name or number.
        wavelength: at its centre, in micrometres; None if unknown.
        left: why it stays as it is; None if a thin veil can be lifted from it.
    """

    number: int
    name: str
    wavelength: float | None
    left: str | None


def choose_bands(
    scene: DatasetReader, asked: Sequence[str] | None, band_names: Sequence[str], in_bands: int, source: Path | str
) -> list[int]:
    """Return the numbers, from 1, of the bands that the model takes, in its order.

    These are the bands ``asked`` for; else those that carry the model's names, if all its names are there; else those
    of the model's colours, if the file says which they are, by names that sensors have or by colour; else all bands, if
    they are as many as the model takes; else all but the one for transparency, if that makes the number.

    Args:
        scene: the open file.
        asked: numbers or names.
        band_names: the model's names of its bands, if it has any.
        in_bands: how many it takes.
        source: the path, for messages.

    Raises:
        UserError: see `find_bands`; the number of bands is not the model's; or none are given, and
            the file has another number of bands, or some of the model's names but not all.
    """
    if asked:
        indexes = find_bands(scene, asked, source)
        if len(indexes) != in_bands:
            raise UserError(
                f"{source}: {len(indexes)} bands given ({','.join(asked)}), but the model takes {in_bands}"
                f"{_in_brackets(band_names)}: ask for that many; the file has {_listing(scene)}"
            )
    else:
        indexes = _by_names(scene, band_names, source)
        indexes = indexes or _by_sensor(scene, band_names) or _by_colour(scene, band_names)
        indexes = indexes or _by_number(scene, in_bands)
    if len(indexes) != in_bands:
        cure = "give a file that has them" if scene.count < in_bands else "choose and order them with --bands"
        raise UserError(
            f"{source}: has {scene.count} bands ({_listing(scene)}), the model takes {in_bands}"
            f"{_in_brackets(band_names)}: {cure}, or use a model for {scene.count} bands"
        )
    for index in indexes:
        if scene.colorinterp[index - 1] == ColorInterp.alpha:  # GDAL's default for the fourth band of 8-bit images
            logging.getLogger("declouds").warning(
                "%s: band %d is marked as transparency; the model takes it for an image band", source, index
            )
    return indexes


def find_bands(scene: DatasetReader, asked: Sequence[str], source: Path | str) -> list[int]:
    """Return the numbers of bands given by number or name; see `plain_name` for what makes names equal.

    Raises:
        UserError: a band is missing, listed twice, or ambiguous.
    """
    indexes = []
    for name in asked:
        matches = {
            index
            for index, own_name in zip(scene.indexes, scene.descriptions, strict=True)
            if name.strip() == str(index) or (own_name and plain_name(own_name) == plain_name(name))
        }
        if len(matches) != 1:
            fault = f"could be any of the bands {sorted(matches)}" if matches else "is not one of its bands"
            raise UserError(f"{source}: {name!r} {fault}: it has {_listing(scene)}")
        indexes.append(matches.pop())
    if twice := {index for index in indexes if indexes.count(index) > 1}:
        raise UserError(f"{source}: band {min(twice)} is listed twice ({','.join(asked)}): name each band once")
    return indexes


def further_bands(
    scene: DatasetReader, asked: Sequence[str] | None, indexes: Sequence[int], red: int, source: Path | str
) -> tuple[FurtherBand, ...]:
    """Return the bands beside those of a model of red, green and blue: those asked for, else all but transparency.

    Args:
        scene: the open file.
        asked: numbers or names of all bands, the model's first.
        indexes: numbers of the bands that the model takes.
        red: the number of the red one.
        source: the path, for messages.

    Raises:
        UserError: see `find_bands`.
    """
    if asked:
        numbers = find_bands(scene, asked, source)[len(indexes) :]
    else:
        opaque = {index for index in scene.indexes if scene.colorinterp[index - 1] == ColorInterp.alpha}
        numbers = [index for index in scene.indexes if index not in {*indexes, *opaque}]
    words = spectral_words(scene.descriptions, red=scene.descriptions[red - 1])
    units = list(zip(scene.scales, scene.offsets, strict=True))
    found = []
    for index in numbers:
        wavelength = CENTRES.get(words[index - 1] or "")
        left = None
        if wavelength is None:
            left = "its name tells no wavelength"
        elif not sees_ground(wavelength):
            left = f"at {wavelength:g} micrometres the air hides the ground"
        elif units[index - 1] != units[red - 1]:
            left = "it has another scale or offset than red"
        found.append(FurtherBand(index, scene.descriptions[index - 1] or str(index), wavelength, left))
    return tuple(found)


def plain_name(name: str) -> str:
    """Return what names of one band have in common: case, outer spaces and leading zeros do not count (B4 is B04)."""
    return re.sub(r"(?<!\d)0+(?=\d)", "", name.strip().casefold())


def _by_names(scene: DatasetReader, band_names: Sequence[str], source: Path | str) -> list[int]:
    """Return the bands that carry the model's names; an empty list if none of the names is in the file.

    Raises:
        UserError: some are, some are not: the others' places would be a guess; or a name occurs twice.
    """
    there = {plain_name(name) for name in scene.descriptions if name}
    missing = [name for name in band_names if plain_name(name) not in there]
    if len(missing) == len(band_names):
        return []
    if missing:
        raise UserError(
            f"{source}: lacks the model's {'band' if len(missing) == 1 else 'bands'} {', '.join(missing)}: say with "
            f"--bands which ones stand for {', '.join(band_names)}; it has {_listing(scene)}"
        )
    return find_bands(scene, band_names, source)


def _by_sensor(scene: DatasetReader, band_names: Sequence[str]) -> list[int]:
    """Return the bands that are red, green and blue, for a model of these, by `spectral_words`."""
    names = [plain_name(name) for name in band_names]
    words = spectral_words(scene.descriptions)
    if sorted(names) != sorted(COLOURS) or any(words.count(colour) != 1 for colour in COLOURS):
        return []
    return [words.index(colour) + 1 for colour in names]


def _by_colour(scene: DatasetReader, band_names: Sequence[str]) -> list[int]:
    """Return the bands that are red, green and blue, for a model of these, by what the file says of their colours."""
    names = [plain_name(name) for name in band_names]
    of_file = [colour.name for colour in scene.colorinterp if colour != ColorInterp.alpha]
    if sorted(names) != sorted(COLOURS) or any(of_file.count(colour) != 1 for colour in COLOURS):
        return []
    found = {colour.name: index for index, colour in zip(scene.indexes, scene.colorinterp, strict=True)}
    return [found[name] for name in names]


def order_in_file(scene: DatasetReader, indexes: Sequence[int], asked: Sequence[str] | None) -> list[int]:
    """Return in which order bands are written: as given or named; as in the file where their colours chose them."""
    by_colour = not asked and not any(scene.descriptions[index - 1] for index in indexes)
    return sorted(range(len(indexes)), key=lambda place: indexes[place]) if by_colour else list(range(len(indexes)))


def _by_number(scene: DatasetReader, in_bands: int) -> list[int]:
    """Return all bands, or all but the one for transparency if that makes the number."""
    indexes = list(scene.indexes)
    image = [index for index in indexes if scene.colorinterp[index - 1] != ColorInterp.alpha]
    return image if len(indexes) != in_bands == len(image) else indexes


def _listing(scene: DatasetReader) -> str:
    """Return the file's bands, such as ``1 = B02, 2 = B03, 3``."""
    names = zip(scene.indexes, scene.descriptions, strict=True)
    return ", ".join(f"{index} = {name}" if name else str(index) for index, name in names)


def _in_brackets(names: Sequence[str]) -> str:
    return f" ({', '.join(names)})" if names else ""
