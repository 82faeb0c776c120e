"""The sources that a cloudy input is made of: the image itself, and what else a network is shown."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from declouds.errors import UserError
from declouds.nodata import fill_nodata
from declouds.value_range import ValueRange

Limits = tuple[float, float]
FILL = 0.0  # in [-1, 1], where a source has no data
PRESENT, MISSING = 1.0, -1.0  # values of the flag channel


@dataclass(frozen=True)
class Source:
    """One source of a cloudy input: some neighbouring bands of one kind and unit.

    Args:
        name: of the source, such as ``image``, ``sar`` or ``date1``.
        kind: ``optical``, ``sar``, ``elevation`` or another word.
        bands: names of its bands, in order.
        value_range: sensor values that stand for -1 and 1, or one such pair for each band.
        days: days from the image to this source, negative before it, where it has a date of its own.
        optional: it may be missing: its bands are then `FILL`, and a flag channel after them is `MISSING` instead of
            `PRESENT`. The same goes for single pixels without data.

    Raises:
        UserError: value ranges of another number than the bands, or from high to low.
    """

    name: str
    kind: str
    bands: tuple[str, ...]
    value_range: Limits | tuple[Limits, ...]
    days: float | None = None
    optional: bool = False

    def __post_init__(self) -> None:
        if len(self.ranges) != len(self.bands):
            raise UserError(
                f"source {self.name}: {len(self.ranges)} value ranges for {len(self.bands)} bands: give one for all, "
                "or one for each"
            )

    @property
    def channels(self) -> int:
        """Channels of the input that it takes."""
        return len(self.bands) + self.optional

    @property
    def ranges(self) -> tuple[ValueRange, ...]:
        """The value range of each band."""
        if isinstance(self.value_range[0], tuple):
            return tuple(ValueRange(*limits) for limits in self.value_range)  # type: ignore[misc]
        return (ValueRange(*self.value_range),) * len(self.bands)  # type: ignore[arg-type]

    def config(self) -> dict[str, Any]:
        """Return the source as plain types, as `read_sources` takes it and a model's record holds it."""
        kept = {key: value for key, value in asdict(self).items() if value is not None and value is not False}
        listed = [list(limits) if isinstance(limits, tuple) else limits for limits in self.value_range]
        return {**kept, "bands": list(self.bands), "value_range": listed}

    def to_model(self, values: np.ndarray, valid: np.ndarray, ranges: Sequence[ValueRange] | None = None) -> np.ndarray:
        """Return its channels of the input.

        Without a flag channel, pixels without data take the values of the nearest one with data.

        Args:
            values: sensor values, (C, H, W).
            valid: pixels with data, (H, W) bool, at least one of them True.
            ranges: of each band in the units of ``values``, where these are stored in others.

        Shapes: (channels, H, W) float32.
        Units: [-1, 1].
        """
        if not self.optional:
            values = fill_nodata(values, valid)
        bands = [limits.to_model(band) for limits, band in zip(ranges or self.ranges, values, strict=True)]
        if not self.optional:
            return np.stack(bands)
        known = [np.where(valid, band, np.float32(FILL)) for band in bands]
        return np.stack([*known, np.where(valid, np.float32(PRESENT), np.float32(MISSING))])

    def missing(self, height: int, width: int) -> np.ndarray:
        """Return the channels of an optional source that is missing. Shapes: (channels, H, W) float32."""
        channels = np.full((self.channels, height, width), FILL, np.float32)
        channels[-1] = MISSING
        return channels


def image_source(bands: int, band_names: Sequence[str], value_range: ValueRange) -> Source:
    """Return the source ``image`` of an input; bands without names are numbered from 1."""
    names = tuple(band_names) if len(band_names) == bands else tuple(map(str, range(1, bands + 1)))
    return Source("image", "optical", names, (value_range.low, value_range.high))


def channels_of(sources: Sequence[Source]) -> dict[str, slice]:
    """Return name -> the channels of each source, where they follow each other in this order."""
    ends = np.cumsum([source.channels for source in sources]).tolist()
    return {source.name: slice(end - source.channels, end) for source, end in zip(sources, ends, strict=True)}


def read_sources(configs: Sequence[dict[str, Any]], in_bands: int) -> tuple[Source, ...]:
    """Read the sources of a model's config.

    Raises:
        UserError: a source lacks an entry or has an unknown one, two have the same name, or together they have another
            number of channels than ``in_bands``.
    """
    sources = tuple(read_source(config) for config in configs)
    names = [source.name for source in sources]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise UserError(f"inputs: several sources are called {', '.join(repeated)}: give each a name of its own")
    channels = sum(source.channels for source in sources)
    if channels != in_bands:
        raise UserError(f"inputs: the sources have {channels} channels, but in_bands={in_bands}: make them agree")
    return sources


def read_source(config: dict[str, Any]) -> Source:
    """Read one source.

    Raises:
        UserError: it lacks an entry, has an unknown one, or one that is not valid.
    """
    try:
        limits = config["value_range"]
        if isinstance(limits[0], int | float):
            low, high = limits
            value_range: Any = (low, high)
        else:
            value_range = tuple((low, high) for low, high in limits)
        return Source(**{**config, "bands": tuple(config["bands"]), "value_range": value_range})
    except (TypeError, KeyError, ValueError, IndexError) as error:
        raise UserError(
            "inputs: a source is dict(name=..., kind=..., bands=[...], value_range=(low, high)), "
            f"not {config!r} ({error})"
        ) from error
