"""The sources that a cloudy input is made of: the image itself, and what else a network is shown."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from declouds.errors import UserError


@dataclass(frozen=True)
class Source:
    """One source of a cloudy input: some neighbouring bands of one kind and unit.

    Args:
        name: of the source, such as ``image``, ``sar`` or ``date1``.
        kind: ``optical``, ``sar``, ``elevation`` or another word.
        bands: names of its bands, in order.
        value_range: sensor values that stand for -1 and 1.
        days: days between this source and the image, where it has a date of its own.
        optional: it may be missing: then it is constant, and flagged by a channel of its own after its bands.
    """

    name: str
    kind: str
    bands: tuple[str, ...]
    value_range: tuple[float, float]
    days: float | None = None
    optional: bool = False

    @property
    def channels(self) -> int:
        """Channels of the input that it takes."""
        return len(self.bands) + self.optional


def read_sources(configs: Sequence[dict[str, Any]], in_bands: int) -> tuple[Source, ...]:
    """Read the sources of a model's config.

    Raises:
        UserError: a source lacks an entry or has an unknown one, or together they have another number of channels than
            ``in_bands``.
    """
    sources = []
    for config in configs:
        try:
            bands, (low, high) = tuple(config["bands"]), config["value_range"]
            sources.append(Source(**{**config, "bands": bands, "value_range": (low, high)}))
        except (TypeError, KeyError, ValueError) as error:
            raise UserError(
                "inputs: a source is dict(name=..., kind=..., bands=[...], value_range=(low, high)), "
                f"not {config!r} ({error})"
            ) from error
    channels = sum(source.channels for source in sources)
    if channels != in_bands:
        raise UserError(f"inputs: the sources have {channels} channels, but in_bands={in_bands}: make them agree")
    return tuple(sources)
