"""The Python call: an array, a DataArray or a file in, the same kind out."""

import copy
import functools
import inspect
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch

from declouds.argument_kinds import check_arguments, check_names
from declouds.errors import UserError
from declouds.hardware import pick_device
from declouds.inference import prepare, recorded, spread_calibration
from declouds.scenes.array import clear_array
from declouds.scenes.array_dates import day_of_image, read_dates, split_times
from declouds.scenes.array_image import array_image, as_array, kind_of
from declouds.scenes.checks import check_files
from declouds.scenes.clear import Remover, clear_scene, with_colours
from declouds.scenes.identity import model_digest
from declouds.scenes.options import SceneOptions
from declouds.scenes.radar import RadarInput, radar_image
from declouds.scenes.rasters.bands import find_bands
from declouds.scenes.rasters.scene_file import open_scene, transparency
from declouds.scenes.rasters.web_path import located
from declouds.scenes.sampling.loop import Progress
from declouds.scenes.sampling.ranks import Ranks
from declouds.scenes.xarray_image import is_lazy, is_xarray, like, mask_of
from declouds.units import recorded_units
from declouds.value_range import ValueRange

_log = logging.getLogger("declouds")


def remove_clouds(
    image: Any,
    model: Any = None,
    *,
    output: str | os.PathLike[str] | None = None,
    device: str | torch.device | None = None,
    progress: Progress | None = None,
    target: Any = None,
    **options: Any,
) -> Any:
    """Remove the clouds of an array, a tensor, a DataArray, or a file of any size; all give the same pixels.

    Other dates of the place fill its clouds first. Those of a file are files, see ``dates`` of the options. Those of an
    image in memory are in memory too, of the same kind and shape and on the same grid: a list of images, a list of
    pairs (image, day), or a dict day -> image, with their masks in ``date_masks``, an array each, if ``mask`` is one.
    Radar for a model that was trained with it is ``sar``: of a file a file on any grid, of an image in memory one in
    memory, (bands, height, width), of the same kind and on the same grid.
    Of a DataArray with a dimension ``time``, the image of the day ``target`` is cleared, and all others fill it.
    A DataArray of dask chunks comes back as one of the same chunks, each computed when it is asked for, to the same
    pixels; with other dates or radar it is computed at once, and held in memory.

    Args:
        image: a NumPy array or torch tensor (bands, height, width), an xarray DataArray (band, y, x) as rioxarray gives
            it, also with a dimension ``time``, or the path of a scene.
        model: a model, or the path of its weights. If not given, other dates alone fill the clouds where there are some
            (``dates=[...]``), else it is the one that comes with the package (RGB in any units, by a cloud mask: see
            ``mask`` and ``value_range`` of the options).
        output: the GeoTIFF to write; needed for a path, refused for what is in memory.
        device: where the model runs, such as ``cuda:1``; by default a model stays where it is, and weights read from a
            file go to the first accelerator, else the CPU.
        progress: called with the title of the pass, the windows done, and those of all passes.
        target: the day of an image in memory with other dates, such as ``2018-07-05``; a DataArray may have it as its
            coordinate ``time``. The composite ``median`` needs no days.
        **options: see `declouds.scenes.options.SceneOptions`. Those about files go with a path only.

    Returns:
        For what is in memory, a new one of its kind and size, a tensor on its device, a DataArray with its coordinates
        and attributes (of several times, that of ``target``); for a path, the path of ``output``.

    Shapes: (C, H, W).
    Units: sensor units, as stored.

    Raises:
        UserError: an argument is unknown or of another kind; see also `declouds.scenes.clear.clear_scene` and
            `declouds.scenes.array_dates.read_dates`. What needs no model is checked before it is loaded.
    """
    if is_xarray(options.get("mask")):
        options["mask"] = mask_of(options["mask"], image)
    check_names(SceneOptions, options)
    check_arguments(remove_clouds, dict(output=output, device=device))
    in_memory = kind_of(image) is not None
    if not in_memory and not isinstance(image, str | os.PathLike):
        raise UserError(f"an image is a NumPy array, a tensor, a DataArray or a path, and not a {type(image).__name__}")
    if in_memory and output is not None:
        raise UserError(f"output = {os.fspath(output)!r}: an array comes back as an array; leave output out")
    if in_memory:
        return _clear_in_memory(image, model, device, progress, target, options)
    if target is not None:
        raise UserError(f"target = {target!r}: is for images in memory; of a file, its name or tags say the day")
    if output is None:
        raise UserError(f"{located(image)}: say where the result goes: output='clear.tif'")
    any_units = for_any_units(model)
    chosen = SceneOptions(**options).with_mask(any_units)
    chosen.check()
    if isinstance(chosen.mask, np.ndarray):
        raise UserError(f"{located(image)}: the mask of a file is a raster file, not an array: give its path")
    alone, source = model is None and bool(chosen.dates), located(image)
    known = with_colours(chosen, source) if any_units and not alone else chosen
    check_files(source, Path(str(output)), **known.for_files())
    with dates_alone(source, chosen) if alone else remover_of(model, chosen, device) as remover:
        return clear_scene(remover, source, str(output), chosen, Ranks.here(), progress).path


def _clear_in_memory(
    image: Any, model: Any, device: Any, progress: Progress | None, target: Any, options: dict[str, Any]
) -> Any:
    """Do what `remove_clouds` says with an image in memory."""
    dates, masks = options.pop("dates", None), options.pop("date_masks", None)
    sar = options.pop("sar", None)
    if is_xarray(image) and "time" in getattr(image, "dims", ()):
        if dates is not None:
            raise UserError("dates: the image has a dimension time, whose others are its dates: leave dates out")
        image, dates = split_times(image, target)
    if target is not None and dates is None:
        raise UserError(f"target = {target!r}: is the day of an image with other dates: give dates=[...] too")
    options["mask"] = as_array(options.get("mask"), "mask")
    needs_days = dates is not None and options.get("composite") != "median"
    lazy = is_lazy(image) and dates is None and sar is None
    day = day_of_image(image, target, "the image") if needs_days else None
    own = array_image(image, "the image", day, lazy=lazy)
    others, radar = read_dates(dates, masks, image, own, needs_days), radar_image(sar, image)
    chosen = SceneOptions(
        **options,
        dates=[one.name for one in others] or None,
        date_masks=None if masks is None else [f"date_masks[{number}]" for number in range(len(others))],
    ).with_mask(for_any_units(model))
    chosen.check()
    if lazy:
        from declouds.scenes.lazy import clear_lazily

        return like(image, clear_lazily(own, model, chosen, device))
    removing: AbstractContextManager[Remover]
    if model is None and others:
        kind, scale = own.values.dtype, own.tags[0][0]
        removing = nullcontext(_filler(chosen, len(own.values), own.band_names, kind, scale))
    else:
        removing = remover_of(model, chosen, device)
    with removing as remover:
        cleared = clear_array(remover, own.values, chosen, progress, own.nodata, own.tags, own.day, others, radar)
    if isinstance(image, torch.Tensor):
        return torch.from_numpy(cleared).to(image.device)
    return like(image, cleared) if is_xarray(image) else cleared


def for_any_units(model: Any) -> bool:
    """Return whether a model, given as to `remove_clouds`, is for scenes in any units; its weights are not loaded."""
    if model is None:
        return True
    if isinstance(model, str | os.PathLike):
        from declouds.weights.file import fits_any_units

        return fits_any_units(os.fspath(model))
    return bool(getattr(model, "any_units", False))


def loaded(model: Any) -> tuple[Any, str | None]:
    """Return a model, read from its file if it is given as one, and what it is called if it comes with the package.

    Args:
        model: see `remove_clouds`.

    Raises:
        UserError: the weights are unusable, or that is no model.
    """
    from declouds.weights.zoo import MODEL_CARD, PACKAGED, find_weights, general_weights

    if model is None:
        model = general_weights()
        _log.info("no weights were given: clearing by %s, which comes with declouds (%s)", model.stem, MODEL_CARD)
    if isinstance(model, str | os.PathLike):
        from declouds.weights.file import load_model

        name = PACKAGED.stem if find_weights(os.fspath(model)) == PACKAGED else None
        return load_model(os.fspath(model)), name
    if not hasattr(model, "passes"):
        raise UserError(f"a model is a `CloudRemover` or the path of its weights, and not a {type(model).__name__}")
    return model, None


@contextmanager
def remover_of(model: Any, options: SceneOptions, device: str | torch.device | None = None) -> Iterator[Remover]:
    """Give what a scene needs of a model, which is in evaluation mode inside the context.

    Args:
        model: see `remove_clouds`.
        options: the user's choices.
        device: see `remove_clouds`.

    Raises:
        UserError: the weights are unusable, or the model cannot do what was chosen.
    """
    from_file = model is None or isinstance(model, str | os.PathLike)
    chosen = pick_device(str(device or "auto")) if device or from_file else None
    model, name = loaded(model)
    if not from_file and (
        options.precision != "auto" or options.steps is not None or options.compile or recorded(model)
    ):
        model = copy.deepcopy(model)  # prepared below; the caller's stays as it is
    if chosen is not None:
        model = model.to(chosen)
    if model.bands > model.in_bands:
        raise UserError(
            f"the model makes {model.bands} bands from {model.in_bands}: it does not clear images band by band"
        )
    any_units = for_any_units(model)
    options = options.with_mask(any_units)
    place = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    radar = RadarInput.among(getattr(model, "inputs", ()))
    was_training = model.training
    model.eval()
    prepare(model, options.precision, options.steps, compiled=options.compile)
    try:
        passes = model.passes(blend=options.blend, samples=options.samples, quality=options.quality)
        yield Remover(
            **dict(passes=passes, bands=model.bands, radar=radar),
            in_bands=model.in_bands - (0 if radar is None else radar.source.channels),
            value_range=None if any_units else model.value_range,
            **dict(band_names=model.band_names, device=str(place), name=name),
            **dict(
                precision=model.precision, steps=model.steps, trained=recorded_units(getattr(model, "record", None))
            ),
            calibration=spread_calibration(model),
            **dict(
                digest=functools.cache(lambda: model_digest(model)),
                detector=detector_of(options, model.band_names, model),
            ),
        )
    finally:
        model.train(was_training)


@contextmanager
def dates_alone(source: Path, options: SceneOptions) -> Iterator[Remover]:
    """Give what fills the clouds of a file from other dates, without a network: no passes, and the file's own bands.

    Detectors see values between those that stand for 0 and 1: 0 and 255 in 8 bits, 0 and 1 in floating point or where
    the file has a scale, else 0 and 10000, as reflectance is usually stored.

    Raises:
        UserError: see `open_scene`; a map of quality is chosen, and only a network has that.
    """
    if options.quality:
        raise UserError("--quality is of a network: give one (--checkpoint), or leave it out")
    with open_scene(source, options.bands) as file:
        hidden = transparency(file)
        indexes = find_bands(file, options.bands, source) if options.bands else file.indexes
        chosen = [index for index in indexes if options.bands or index not in hidden]
        names = [file.descriptions[index - 1] or "" for index in chosen]
        scale, kind = file.scales[chosen[0] - 1], np.dtype(file.dtypes[chosen[0] - 1])
    yield _filler(options, len(chosen), names if all(names) else (), kind, scale)


def _filler(options: SceneOptions, bands: int, band_names: Sequence[str], kind: np.dtype, scale: float) -> Remover:
    """Return what fills clouds from other dates alone, for bands of a type, whose own scale is this."""
    scaled = options.scale is not None or options.offset is not None or scale != 1
    high = 255.0 if kind == np.uint8 and not scaled else 1.0 if scaled or kind.kind == "f" else 10000.0
    return Remover([], bands, bands, ValueRange(0.0, high), detector=detector_of(options, band_names))


def detector_of(options: SceneOptions, band_names: Sequence[str], model: Any = None) -> Any:
    """Build the cloud detector, if one is needed: by default, what a model of any units would change itself."""
    if not options.detects:
        return None
    from declouds.registry import CLOUD_DETECTORS

    chosen = options.detector or ("OwnChange" if getattr(model, "any_units", False) else "BrightWhite")
    config: dict[str, Any] = dict(type=chosen) if isinstance(chosen, str) else dict(chosen)
    kind = CLOUD_DETECTORS.get(str(config.get("type")))
    if options.shadow == "keep" and "shadow" in inspect.signature(kind or object).parameters:
        config.setdefault("shadow", False)
    return CLOUD_DETECTORS.build(config, band_names=band_names, model=model)
