"""The Python call: an array or a file in, the same kind out."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from declouds.errors import UserError
from declouds.inference.checks import check_bands, check_files, check_nodata, check_value_range, check_values
from declouds.inference.cleared_blocks import ClearedBlocks, Progress, Tally
from declouds.inference.device import pick_device
from declouds.inference.nodata import valid_pixels
from declouds.inference.noise import check_seed
from declouds.inference.scene import clear_scene
from declouds.inference.tiled import Predict
from declouds.inference.tiles import Window, check_tiling


def remove_clouds(
    image: np.ndarray | str | os.PathLike[str],
    model: Any,
    *,
    tile: int = 256,
    overlap: int = 64,
    seed: int = 0,
    batch_size: int = 1,
    nodata: float | None = None,
    output: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    device: str | None = None,
    progress: Progress | None = None,
) -> np.ndarray | Path:
    """Remove the clouds of an array, or of a file of any size; both give the same pixels.

    Args:
        image: an array, or the path of a scene.
        model: a model, or the path of its weights.
        tile: see `declouds.inference.scene.clear_scene`, as for the rest up to ``overwrite``.
        overlap: as there.
        seed: as there.
        batch_size: as there.
        nodata: as there.
        output: the GeoTIFF to write; needed for a path, refused for an array.
        overwrite: replace an existing ``output``.
        device: where the model runs, such as ``cuda:1``; by default a model stays where it is, and weights read from a
            file go to the first accelerator, else the CPU.
        progress: called with the number of windows done and of all.

    Returns:
        For an array, a new array of its type and size; for a path, the path of ``output``.

    Shapes: (C, H, W).
    Units: sensor units, as stored.

    Raises:
        UserError: see `declouds.inference.scene.clear_scene`. What needs no model is checked before it is loaded.
    """
    check_tiling(tile, overlap, batch_size)
    check_seed(seed)
    if isinstance(image, np.ndarray):
        _check_array(image, nodata, output)
    elif output is None:
        raise UserError(f"{os.fspath(image)}: say where the result goes: output='clear.tif'")
    else:
        check_files(Path(image), Path(output), overwrite=overwrite, nodata=nodata)
    if isinstance(model, str | os.PathLike):
        from declouds.weights.file import load_model

        model, device = load_model(Path(model)), device or "auto"
    if device is not None:
        model = model.to(pick_device(device))
    options: dict[str, Any] = dict(tile=tile, overlap=overlap, seed=seed, batch_size=batch_size, nodata=nodata)
    with prediction(model) as predict:
        if isinstance(image, np.ndarray):
            return _clear_array(predict, image, model, progress, **options)
        assert output is not None  # checked above
        options |= dict(what_it_takes(model), overwrite=overwrite, progress=progress)
        return clear_scene(predict, image, output, **options).path


@contextmanager
def prediction(model: Any) -> Iterator[Predict]:
    """Give the model's ``predict`` in evaluation mode, for tensors on any device; its mode comes back at the end."""
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    was_training = model.training
    model.eval()
    try:
        yield lambda cloudy, noise: model.predict(cloudy.to(device), noise.to(device))
    finally:
        model.train(was_training)


def what_it_takes(model: Any) -> dict[str, Any]:
    """Return what `declouds.inference.scene.clear_scene` must know of a model."""
    return {name: getattr(model, name) for name in ("bands", "in_bands", "value_range", "band_names")}


def _check_array(image: np.ndarray, nodata: float | None, output: str | os.PathLike[str] | None) -> None:
    """Refuse what is no image, and an output that would never be written."""
    if output is not None:
        raise UserError(f"output = {os.fspath(output)!r}: an array comes back as an array; leave output out")
    if image.ndim != 3 or 0 in image.shape:
        raise UserError(f"an image is an array (bands, height, width); got shape {image.shape}")
    if image.dtype.kind not in "iuf":
        raise UserError(f"an image holds integers or floating-point numbers; got {image.dtype.name}")
    if nodata is not None:
        check_nodata("the array", nodata, image.dtype)


def _clear_array(
    predict: Predict, image: np.ndarray, model: Any, progress: Progress | None, **options: Any
) -> np.ndarray:
    """Clear an array by the same loop as a file. Shapes: (in_bands, H, W) -> (bands, H, W)."""
    count, height, width = image.shape
    check_bands("the array", count, bands=model.bands, in_bands=model.in_bands, band_names=model.band_names)
    check_value_range("the array", image.dtype, model.value_range)

    def read(window: Window) -> tuple[np.ndarray, np.ndarray]:
        values = image[..., *window.slices]
        return values, valid_pixels(values, options["nodata"])

    check_values("the array", read, height, width, model.value_range)
    cleared = ClearedBlocks(predict, read, model.bands, model.value_range, **options)
    result = np.empty((model.bands, height, width), image.dtype)
    for window, values in cleared(height, width, Tally(), progress):
        result[..., *window.slices] = values
    return result
