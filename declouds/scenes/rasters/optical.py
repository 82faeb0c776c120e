"""Whether a scene is an optical image at all, for models that take any: by what its bands are called."""

import re
from collections.abc import Sequence
from pathlib import Path

from rasterio.io import DatasetReader

from declouds.errors import UserError

RADAR = {"vv", "vh", "hh", "hv", "sigma0", "gamma0", "beta0"}
ELEVATION = {"elevation", "dem", "dsm", "dtm", "height", "altitude"}
LENGTHS = {"m", "metre", "metres", "meter", "meters", "ft", "feet"}  # units of a band


def check_optical(scene: DatasetReader, indexes: Sequence[int], source: Path | str) -> None:
    """Refuse radar and elevations.

    Args:
        scene: the open file.
        indexes: numbers of the bands that a model would get.
        source: the path, for messages.

    Raises:
        UserError: one of the bands is called, or measured, like those.
    """
    for index in indexes:
        name = scene.descriptions[index - 1] or ""
        words = set(re.findall(r"[a-z0-9]+", name.casefold()))
        unit = (scene.units[index - 1] or "").strip().casefold()
        if words & RADAR:
            raise UserError(
                f"{source}: band {index} ({name}) is radar, which sees through clouds: there is nothing to clear; give "
                "an optical image"
            )
        if words & ELEVATION or unit in LENGTHS:
            raise UserError(
                f"{source}: band {index} ({name or unit}) holds elevations, not an image: give an optical image, or "
                "choose its bands with --bands"
            )
