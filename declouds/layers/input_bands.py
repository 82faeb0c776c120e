"""Input bands of networks that correct their input."""

from declouds.errors import UserError


def input_bands(network: str, bands: int, in_bands: int | None) -> int:
    """Return ``in_bands``, or ``bands`` if not given, for a network that corrects the first ``bands`` of its input.

    Raises:
        UserError: ``in_bands`` is less than ``bands``: a single band would be broadcast silently.
    """
    if in_bands is None:
        return bands
    if in_bands < bands:
        raise UserError(f"{network}: in_bands must be at least bands = {bands}, got {in_bands}")
    return in_bands
