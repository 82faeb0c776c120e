"""Radar beside an image: read on its grid, checked, and shown to a model in the units that this was trained on."""

import functools
import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from declouds.errors import UserError
from declouds.scenes.array_image import ArrayImage, array_image, kind_of
from declouds.scenes.rasters.bands import plain_name
from declouds.scenes.rasters.date_file import convert, on_grid_of
from declouds.scenes.rasters.scene import Scene
from declouds.scenes.rasters.scene_file import open_scene, source_files
from declouds.scenes.rasters.web_path import located
from declouds.scenes.sampling.image import Image, Read, samples
from declouds.scenes.sampling.tiles import Window, windows
from declouds.scenes.xarray_image import check_coordinates, is_xarray
from declouds.sources import Source, channels_of
from declouds.units import choose_units, is_outside
from declouds.value_range import ValueRange

BLOCK = 512  # side of what is searched for data at a time
FEW = 0.01  # share of values below 0 in linear backscatter, which removal of noise makes

_log = logging.getLogger("declouds")


@dataclass(frozen=True)
class RadarInput:
    """Radar among the sources of a model.

    Args:
        source: what it is.
        start: the channel of the input at which it begins.
    """

    source: Source
    start: int

    @classmethod
    def among(cls, sources: Sequence[Source]) -> "RadarInput | None":
        """Return the source of kind ``sar``; None if there is none.

        Raises:
            UserError: there are several.
        """
        found = [source for source in sources if source.kind == "sar"]
        if len(found) > 1:
            names = ", ".join(source.name for source in found)
            raise UserError(
                f"the model takes several radar images ({names}), and a scene has one: clear scenes with a model "
                "trained on one at most (SEN12MSCRTS: sar=False)"
            )
        return cls(found[0], channels_of(sources)[found[0].name].start) if found else None


@dataclass(frozen=True)
class Radar:
    """Radar of an image, on its grid.

    Args:
        wanted: what the model takes.
        name: of its file; None if it is missing.
        read: gives any rectangle: values as stored, and which pixels have data.
        ranges: of each band, the values as stored that stand for -1 and 1.
        files: all that its pixels come from.
    """

    wanted: RadarInput
    name: str | None = None
    read: Read | None = None
    ranges: Sequence[ValueRange] = ()
    files: Sequence[Path] = ()

    def covers(self, window: Window) -> np.ndarray:
        """Return which pixels have radar. Shapes: (h, w) bool."""
        return np.zeros((window.height, window.width), bool) if self.read is None else self.read(window)[1]

    def complete(self, seen: np.ndarray, window: Window) -> np.ndarray:
        """Put the channels of the radar into what the network sees of a window.

        Shapes: (C, h, w) -> (C + channels of the radar, h, w).
        Units: [-1, 1].
        """
        source, start = self.wanted.source, self.wanted.start
        if self.read is None:
            channels = source.missing(window.height, window.width)
        else:
            channels = source.to_model(*self.read(window), self.ranges)
        return np.concatenate([seen[:start], channels, seen[start:]])

    def beside(self, image: Image) -> Image:
        """Return an image as the model sees it. Where that needs radar and there is none, pixels stay as they are."""
        if self.wanted.source.optional:
            return replace(image, complete=self.complete)
        own = image.alpha

        def alpha(window: Window) -> np.ndarray:
            covered = self.covers(window).astype(np.float32)
            return covered if own is None else covered * own(window)

        return replace(image, complete=self.complete, alpha=alpha)

    def in_words(self, share: float) -> str:
        """Say what the model was shown, for the user, where radar covers a share of the image."""
        bands = ", ".join(self.wanted.source.bands)
        if self.name is None:
            return f"missing, and the model clears without it: give {bands} with --sar if you have it"
        rest = "the model clears the rest without it" if self.wanted.source.optional else "the rest stays as it is"
        return f"{self.name} ({bands})" + (
            "" if share == 1 else f", on {min(100 * share, 99.9):.3g} % of the pixels: {rest}"
        )


def check_wanted(wanted: RadarInput | None, name: str | None) -> None:
    """Check that radar is given where a model takes it.

    Args:
        wanted: what the model takes.
        name: what is given.

    Raises:
        UserError: it is given and the model takes none, or the model needs it and there is none.
    """
    if name is not None and wanted is None:
        raise UserError(
            f"{name}: the model takes no radar: leave --sar out, or give one that was trained with it (--checkpoint)"
        )
    if name is None and wanted is not None and not wanted.source.optional:
        raise UserError(
            f"the model needs radar ({', '.join(wanted.source.bands)}): give it with --sar FILE (in Python, sar=...)"
        )


@contextmanager
def open_radar(target: Scene, given: Any, wanted: RadarInput | None) -> Iterator[Radar | None]:
    """Lay a file of radar on the grid of a scene, window by window, with bilinear interpolation; None if none is taken.

    Args:
        target: the scene.
        given: path of the file.
        wanted: what the model takes.

    Raises:
        UserError: see `check_wanted`, `open_scene` and `on_grid_of`; the file has other bands or units than the model
            takes, or no data on the scene.
    """
    check_wanted(wanted, None if given is None else str(located(given)))
    if wanted is None or given is None:
        yield None if wanted is None else Radar(wanted)
        return
    path = located(given)
    with open_scene(path) as file:
        indexes = [place + 1 for place in _places(file.descriptions, wanted.source, str(path))]
        tags = [(file.scales[index - 1], file.offsets[index - 1]) for index in indexes]
        ranges = _as_stored(wanted.source, tags, str(path))
        nodata = file.nodatavals[indexes[0] - 1]
        own = Scene(file, path, indexes, list(range(len(indexes))), _span(ranges), nodata)
        with on_grid_of(replace(target, stored_range=own.stored_range), own, what="radar") as read:
            radar = Radar(wanted, str(path), read, ranges, [path, *source_files(file)])
            _check_values(str(path), wanted.source, _sample(read, *target.size, str(path)), ranges)
            yield radar


def radar_image(given: Any, image: Any) -> ArrayImage | None:
    """Return radar in memory, as the user gave it, on the grid of an image in memory; None if none is given.

    Raises:
        UserError: it is of another kind or size than the image, or lies elsewhere; see also `array_image`.
    """
    if given is None:
        return None
    if kind_of(given) != kind_of(image):
        kind = kind_of(given) or type(given).__name__
        raise UserError(f"sar: is a {kind}, and the image a {kind_of(image)}: give both in one kind")
    if is_xarray(given):
        check_coordinates(given, image, "sar")
    radar = array_image(given, "sar")
    if radar.values.ndim != 3 or radar.values.shape[-2:] != tuple(image.shape[-2:]):
        raise UserError(
            f"sar: has shape {radar.values.shape}, and the image {tuple(image.shape)}: give (bands, height, width) on "
            "the image's grid"
        )
    if radar.values.dtype.kind not in "iuf":
        raise UserError(f"sar: radar holds integers or floating-point numbers; got {radar.values.dtype.name}")
    return radar


def radar_in_memory(given: ArrayImage | None, wanted: RadarInput | None) -> Radar | None:
    """Return the same as a model takes it; None if that takes none.

    Raises:
        UserError: see `check_wanted`; the radar has other bands or units than the model takes, or no data.
    """
    check_wanted(wanted, None if given is None else given.name)
    if wanted is None:
        return None
    if given is None:
        _log.info("no radar was given (sar=...): the model clears without it")
        return Radar(wanted)
    places = _places(given.band_names or (None,) * len(given.values), wanted.source, given.name)
    tags = given.tags if len(given.tags) > 1 else list(given.tags) * len(given.values)
    ranges = _as_stored(wanted.source, [tags[place] for place in places], given.name)
    own = replace(given, values=given.values[places])
    read: Read = functools.partial(own.read, nodata=given.nodata, stored=_span(ranges))
    height, width = given.values.shape[-2:]
    sample = _sample(read, height, width, given.name)
    _check_values(given.name, wanted.source, sample, ranges)
    return Radar(wanted, given.name, read, ranges)


def _places(own: Sequence[str | None], source: Source, name: str) -> list[int]:
    """Return where the bands of a source are, from 0: by name, or all that there are if none has such a name."""
    wanted = [plain_name(band) for band in source.bands]
    words = [re.split(r"[^a-z0-9]+", plain_name(band or "")) for band in own]  # as in Sigma0_VH_db
    named = [next((band for band in wanted if band in each), "") for each in words]
    places = [named.index(band) for band in wanted if named.count(band) == 1]
    if len(places) == len(wanted):
        return places
    if not places and len(own) == len(wanted):
        return list(range(len(own)))
    there = ", ".join(band or str(number) for number, band in enumerate(own, 1))
    raise UserError(
        f"{name}: has {len(own)} bands ({there}), and the model takes radar of {len(wanted)}, "
        f"{', '.join(source.bands)}: give these alone, in this order (gdal_translate -b N ...)"
    )


def _as_stored(source: Source, tags: Sequence[tuple[float, float]], name: str) -> list[ValueRange]:
    """Return the range of each band in the values as stored, by the scale and offset of each."""
    pairs = zip(source.ranges, tags, strict=True)
    return [choose_units(name, [tag], None, None, "others").stored(limits) for limits, tag in pairs]


def _span(ranges: Sequence[ValueRange]) -> ValueRange:
    """Return the range that holds all of some ranges."""
    return ValueRange(min(limits.low for limits in ranges), max(limits.high for limits in ranges))


def _sample(read: Read, height: int, width: int, name: str) -> np.ndarray:
    """Return values of pixels with data all over an image. Shapes: (C, n)."""
    sample = samples(read, height, width)
    if sample.size:
        return sample
    for window in windows(height, width, BLOCK, 0):
        values, valid = read(window)
        if valid.any():
            return values[:, valid]
    raise UserError(f"{name}: has no data where the image lies: give radar of the same place")


def _check_values(name: str, source: Source, sample: np.ndarray, ranges: Sequence[ValueRange]) -> None:
    """Refuse values in other units than the model was trained on, and warn of swapped polarisations.

    Args:
        name: of the radar.
        source: what the model takes.
        sample: values as stored, of pixels with data.
        ranges: of each band, as stored.

    Shapes: sample (C, n).

    Raises:
        UserError: the values are linear and the model's are not, or 99 % of a band are out of its range.
    """
    if (sample == 0).all(0).mean() > FEW:
        _log.warning(
            "%s: is 0 in all bands in places, as at borders: if that is no data, say so (gdal_edit.py -a_nodata 0)",
            name,
        )
    in_its_units = zip(sample, ranges, source.ranges, strict=True)
    sample = np.stack([convert(values, stored, limits) for values, stored, limits in in_its_units])
    span = f"{sample.min():.4g} to {sample.max():.4g}"
    known = ", ".join(f"{band} {limits}" for band, limits in zip(source.bands, source.ranges, strict=True))
    if all(limits.low < 0 for limits in source.ranges) and (sample < 0).mean() <= FEW:
        raise UserError(
            f"{name}: its values ({span}) are linear, and the model was trained on radar in dB ({known}): convert "
            "calibrated backscatter to 10 * log10(values) (gdal_calc.py --allBands=A --calc='10*log10(A)')"
        )
    for band, values, limits in zip(source.bands, sample, source.ranges, strict=True):
        if is_outside(values, limits):
            raise UserError(
                f"{name}: 99 % of {band} ({values.min():.4g} to {values.max():.4g}) lie outside what the model was "
                f"trained on ({known}): give calibrated backscatter in these units, or a model for others"
            )
    medians = dict(zip(map(plain_name, source.bands), np.median(sample, 1), strict=True))
    if medians.get("vv", np.inf) < medians.get("vh", -np.inf):
        _log.warning("%s: VH is brighter than VV, as if the two were swapped: give VV first", name)
