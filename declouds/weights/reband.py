"""Weights of a model for other bands: each new band starts from the old one that is nearest in wavelength."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import nn

from declouds.errors import UserError

SIZE = 32  # side in pixels of the image on which a change of bands is tried


class Transfer(NamedTuple):
    """How weights move between bands. ``copy`` and ``share`` are (new, old): for outputs, and for inputs."""

    copy: torch.Tensor
    share: torch.Tensor


def transfer(old: Sequence[float], new: Sequence[float]) -> Transfer:
    """Return how bands of wavelengths ``new`` take over the weights of those of ``old``.

    An output takes the weights of the nearest old band. The weights of an old input are shared evenly by the new bands
    nearest to it, or go to the nearest new one if there are none: their sum stays, so that an image that is the same in
    all bands gives the same features.
    """
    distance = (torch.tensor(new)[:, None] - torch.tensor(old)[None]).abs()  # (new, old)
    copy = nn.functional.one_hot(distance.argmin(1), len(old)).float()
    heirs = nn.functional.one_hot(distance.argmin(0), len(new)).float().T
    share = torch.where(copy.sum(0) > 0, copy, heirs)
    return Transfer(copy, share / share.sum(0))


def reband(
    config: dict[str, Any],
    state: dict[str, torch.Tensor],
    wavelengths: Sequence[float],
    band_names: Sequence[str],
    new_wavelengths: Sequence[float],
) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Return config and weights of a model for other bands.

    It works for every model whose networks take images, band by band, into convolutions: which weights belong to bands
    is seen from the same model with twice the bands, and proved by a prediction of that.

    Args:
        config: of the model.
        state: its weights.
        wavelengths: of its bands, in micrometres.
        band_names: of the new bands.
        new_wavelengths: of the new bands, in micrometres.

    Raises:
        UserError: the model takes more than the image, has parts that cannot be changed, or not one wavelength a band.
    """
    bands = config.get("bands", 3)
    if config.get("inputs") or config.get("in_bands") not in (None, bands):
        raise UserError("this model takes more than the image, so its bands cannot be changed: choose another one")
    if len(wavelengths) != bands:
        raise UserError(f"this model has {bands} bands, and {len(wavelengths)} wavelengths are known: choose another")
    axes = _band_axes(config, state)
    _prove(config, state, axes)
    new = {**config, "bands": len(band_names), "band_names": list(band_names)}
    return new, _moved(state, axes, transfer(wavelengths, new_wavelengths))


class Axis(NamedTuple):
    """A dimension of a weight: groups of bands, each of ``pixels`` that are folded into channels; input or output."""

    place: int
    is_input: bool
    pixels: int


Axes = dict[str, list[Axis]]


def _build(config: dict[str, Any], bands: int) -> Any:
    from declouds.layers.timm_encoder import without_pretrained
    from declouds.models import build_model

    sized = {key: value for key, value in config.items() if key not in ("value_range", "band_names", "losses")}
    with without_pretrained():
        return build_model({**sized, "bands": bands}).eval()


def _band_axes(config: dict[str, Any], state: dict[str, torch.Tensor]) -> Axes:
    """Return the dimensions that a model with twice the bands has twice as long."""
    bands = config.get("bands", 3)
    double = _build(config, 2 * bands)
    inputs = {f"{name}.weight" for name, module in double.named_modules() if isinstance(module, nn.Conv2d)}
    folded = {
        name.rpartition(".")[0]: module.downscale_factor**2
        for name, module in double.named_modules()
        if isinstance(module, nn.PixelUnshuffle)
    }
    axes: Axes = {}
    for key, value in double.state_dict().items():
        old, new = state[key].shape, value.shape
        changed = [axis for axis, (a, b) in enumerate(zip(old, new, strict=True)) if a != b]
        pixels = next((size for network, size in folded.items() if key.startswith(f"{network}.")), 1)
        if any(new[axis] != 2 * old[axis] or old[axis] % (bands * pixels) for axis in changed):
            raise _cannot(key.split(".")[0], config)
        if changed:
            axes[key] = [Axis(axis, axis == 1 and key in inputs, pixels) for axis in changed]
    return axes


def _moved(state: dict[str, torch.Tensor], axes: Axes, by: Transfer) -> dict[str, torch.Tensor]:
    moved = dict(state)
    for key, changed in axes.items():
        for axis in changed:
            matrix = by.share if axis.is_input else by.copy
            value = moved[key].float().movedim(axis.place, -1).unflatten(-1, (-1, matrix.shape[1], axis.pixels))
            value = matrix @ value  # (..., images, new bands, pixels)
            moved[key] = value.flatten(-3).movedim(-1, axis.place).to(state[key].dtype).contiguous()
    return moved


@torch.no_grad()
def _prove(config: dict[str, Any], state: dict[str, torch.Tensor], axes: Axes) -> None:
    """Check that with every band given twice, the model with twice the bands gives every band twice."""
    bands = config.get("bands", 3)
    model, double = _build(config, bands), _build(config, 2 * bands)
    places = [float(band) for band in range(bands)]
    model.load_state_dict(state)
    image, noise = torch.randn(2, 1, bands, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    image = (image / 2).clamp(-1, 1)
    once = model.predict(image, noise)
    try:
        double.load_state_dict(_moved(state, axes, transfer(places, [place for place in places for _ in range(2)])))
        twice = double.predict(image.repeat_interleave(2, 1), noise.repeat_interleave(2, 1))
    except RuntimeError as error:  # a size that is set in the config of a part
        raise _cannot("model", config) from error
    if not torch.allclose(twice, once.repeat_interleave(2, 1), atol=1e-3):
        raise _cannot("model", config)


def _cannot(part: str, config: dict[str, Any]) -> UserError:
    entry = config.get(part)
    kind = entry.get("type") if isinstance(entry, dict) else config.get("type")
    return UserError(f"the bands of {kind} cannot be changed: choose a model whose networks are built for any bands")
