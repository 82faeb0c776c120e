"""A digest of what images hold, whatever their files are called and however they are compressed."""

import hashlib
from collections.abc import Callable, Iterable, Sequence

from declouds.datamodules.folders import natural_order
from declouds.datamodules.pair import Pair, read_bands

Track = Callable[[Sequence[Pair]], Iterable[Pair]]


def pixels_digest(pairs: Sequence[Pair], track: Track = iter) -> str:
    """Return the SHA-256 of the pixels of ``pairs``, cloudy then clear, in the natural order of their names.

    The values are those of the files, before any reduction; masks are left out, since the ``official`` protocol does
    not look at them. ``track`` may wrap the loop in a progress bar.

    Raises:
        UserError: a file is broken.
    """
    digest = hashlib.sha256()
    for pair in track(sorted(pairs, key=lambda pair: natural_order(pair.name))):
        for files in (pair.cloudy, pair.clear):
            digest.update(read_bands(files).tobytes())
    return digest.hexdigest()
