"""What was done to a scene, in numbers that a program can read: a small JSON file beside the result."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from declouds.image_io import write_whole
from declouds.scenes.rasters.scene import Scene


def summary(
    scene: Scene,
    destination: Path,
    *,
    version: str,
    model: Mapping[str, Any],
    settings: Mapping[str, Any],
    mask: Mapping[str, Any] | None = None,
    further: Mapping[str, Any] | None = None,
    dates: Sequence[Mapping[str, Any]] = (),
    radar: Mapping[str, Any] | None = None,
    pixels: Mapping[str, int],
    windows: Mapping[str, int],
    seconds: float,
) -> dict[str, Any]:
    """Gather what was done.

    Args:
        scene: the scene, open.
        destination: path of the result.
        version: of declouds.
        model: SHA-256 of the weights, precision and number of steps.
        settings: the user's choices, the seed among them.
        mask: where the clouds were taken from; None if the whole scene was cleared.
        further: what was done with bands that the model does not take, if there are any: see
            `declouds.scenes.further_bands.bands_summary`.
        dates: what was done with each other date: its name, day, shift in pixels, and colour match per band.
        radar: its file, None if it is missing; None for a model that takes none.
        pixels: how many of the scene's pixels are valid, nodata, cleared, changed; of several dates also how many these
            filled, and how many are cloud still; with radar how many have it.
        windows: how many there are, and how many were skipped.
        seconds: that it took.

    Returns:
        What JSON can hold; a number that JSON cannot, as NaN for nodata, becomes its name.
    """
    file = scene.file
    crs = file.crs.to_string() if file.crs else None
    return _plain(
        {
            "declouds": version,
            "source": {
                **dict(name=scene.path.name, height=file.height, width=file.width, bands=file.count),
                **dict(dtype=scene.dtype.name, crs=crs, transform=file.transform[:6]),
            },
            "result": destination.name,
            "model": model,
            "settings": settings,
            "mask": mask,
            **({"bands": further} if further else {}),
            **({"dates": dates} if dates else {}),
            **({} if radar is None else {"radar": radar}),
            "pixels": pixels,
            "windows": windows,
            "seconds": round(seconds, 3),
        }
    )


def write_summary(path: Path, content: Mapping[str, Any]) -> None:
    """Write the summary as JSON, complete or not at all; an existing file is replaced.

    Raises:
        UserError: the folder or the disk refuses.
    """
    write_whole(path, (json.dumps(_plain(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode())


def _plain(value: Any) -> Any:
    """Return a value as JSON holds it: no tuples, paths, numpy numbers, NaN or infinity."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if isinstance(value, str | int | float | None) else str(value)
