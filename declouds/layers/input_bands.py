"""The bands that go into a network which corrects its input."""

from declouds.errors import UserError


def input_bands(network: str, bands: int, in_bands: int | None) -> int:
    """Return ``in_bands``, or ``bands`` if not given, for a network that corrects the first ``bands`` of its input.

    Raises:
        UserError: fewer bands in than out: one band would silently be spread over all.
    """
    if in_bands is None:
        return bands
    if in_bands < bands:
        raise UserError(f"{network} corrects the first {bands} bands of its input, which has {in_bands}: give more")
    return in_bands
