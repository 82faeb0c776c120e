"""Other dates of the place in the input of a network."""

from collections.abc import Sequence
from typing import NamedTuple

from declouds.errors import UserError
from declouds.sources import MISSING, PRESENT, Source, image_source
from declouds.value_range import ValueRange

THERE = PRESENT - 0.01  # of the flag channel, below which it is mixed with that of pixels without data
MODEL_RANGE = ValueRange(MISSING, PRESENT)


class Channels(NamedTuple):
    """Where a source is in the input: its bands, and the flag after them if it may be missing."""

    bands: slice
    flag: int | None

    @classmethod
    def of(cls, source: Source, place: slice) -> "Channels":
        """Return the channels of a source that lies at a place."""
        return cls(slice(place.start, place.start + len(source.bands)), place.stop - 1 if source.optional else None)


def input_dates(
    network: str, bands: int, in_bands: int, inputs: Sequence[Source] | None, dates: int | None
) -> tuple[tuple[Source, ...], list[Source]]:
    """Return the sources of an input, and those of them that are other dates: optical, with the bands of the image.

    Args:
        network: for messages.
        bands: bands of the image.
        in_bands: channels of the input.
        inputs: its sources. If not known, the dates follow the image, all of them with a flag if there are as many
            channels.
        dates: how many dates there have to be, of which the first so many are taken; all, or none, if None.

    Raises:
        UserError: there are fewer dates than wanted, or none beside further sources.
    """
    if dates is not None and dates < 1:
        raise UserError(f"{network}: dates = {dates}: give their number, 1 or more, or leave it out for all")
    if inputs is None or len(inputs) < 2:
        inputs = _as_counted(network, bands, in_bands, dates or 0)
    found = [source for source in inputs[1:] if source.kind == "optical" and source.bands == inputs[0].bands]
    wanted = min(len(inputs) - 1, 1) if dates is None else dates
    if len(found) < wanted:
        others = ", ".join(source.name for source in inputs[1:])
        raise UserError(
            f"{network}: {len(found)} of the further sources ({others}) are optical with the bands of the image, and "
            f"{wanted} are needed: give the data the dates, sources=dict(dates=['d1', 'd2'])"
        )
    return tuple(inputs), found if dates is None else found[:dates]


def _as_counted(network: str, bands: int, in_bands: int, dates: int) -> tuple[Source, ...]:
    """Return the sources of an input that consists of an image and so many dates.

    Raises:
        UserError: it has another number of channels.
    """
    image = image_source(bands, (), MODEL_RANGE)
    if dates and in_bands not in (bands * (1 + dates), bands + dates * (bands + 1)):
        raise UserError(
            f"{network}: dates = {dates}, and the input has {in_bands - bands} channels beside the {bands} of the "
            "image: give the data the dates, sources=dict(dates=['d1', 'd2'])"
        )
    flagged = in_bands != bands * (1 + dates)
    others = [Source(f"date{n}", "optical", image.bands, image.value_range, optional=flagged) for n in range(dates)]
    return (image, *others)
