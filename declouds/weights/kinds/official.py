"""Import of the weights that the authors publish, under our own names, and never in part."""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from declouds.errors import UserError
from declouds.registry import DENOISERS, FUSIONS, REFERENCES
from declouds.weights.kinds import KINDS, Kind, Shapes
from declouds.weights.torch_file import read_state_dict

CHANNEL_ORDERS = ("rgb", "bgr")
# Kinds whose published files expect another order than RGB: importing one in the wrong order only changes colours, so
# it must be said.
ORDER_IS_ASKED = {"spa_gan": "the published generators expect bgr, networks trained on RGB images rgb"}


def import_official(
    path: str | os.PathLike[str], kind: str, channel_order: str | None = None
) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Read an official weight file and translate it to one of our networks.

    Half precision becomes float32, and prefixes of DataParallel and of wrapping networks go. Nothing in the file is
    executed.

    Args:
        path: the file, as ``torch.save`` wrote it.
        kind: one of `KINDS`: a reference, or ``de`` (denoiser and fusion of Diffusion Enhancement, whose file has no
            reference).
        channel_order: ``rgb`` or ``bgr``, the order of the first three bands that the network was trained on. Weights
            for ``bgr`` are reordered, so that ours takes and gives RGB; further bands stay where they are.

    Returns:
        The config that builds the network, and its whole state dict. For ``de`` the config is a
        ``DiffusionEnhancement`` without ``reference``, and the keys begin with ``denoiser.`` or ``fusion.``.

    Raises:
        UserError: the kind is unknown; the channel order is, or cannot be changed; the file is missing, broken, asks
            to run code or is not a state dict; or its keys and shapes are not exactly those of the network.
    """
    path = Path(path)
    order = checked_order(kind, channel_order)
    official = read_state_dict(path)
    if KINDS[kind].signature not in official:
        raise UserError(f"{path}: not {kind} weights: no {KINDS[kind].signature!r} in it{_other_kind(official, kind)}")
    config, expected = _network(path, kind, {key: tuple(value.shape) for key, value in official.items()})
    ours = _rename(path, KINDS[kind], official)
    _check(path, kind, ours, expected, official)
    state_dict = {key: _to_float32(path, *ours[key]) for key in expected}
    return config, _to_rgb(path, KINDS[kind], state_dict) if order == "bgr" else state_dict


def checked_order(kind: str, channel_order: str | None) -> str:
    """Return the channel order of a file of this kind: ``rgb`` if it may be left out.

    Raises:
        UserError: the kind or the order is unknown, must be said and is not, or is one that the kind cannot have.
    """
    if kind not in KINDS:
        raise UserError(f"no kind of official weights is called {kind!r}: known: {', '.join(KINDS)}")
    if channel_order is None and kind in ORDER_IS_ASKED:
        raise UserError(
            f"{kind} weights come in two orders of the bands: give --channel-order rgb or bgr ({ORDER_IS_ASKED[kind]})"
        )
    order = channel_order or "rgb"
    if order not in CHANNEL_ORDERS:
        raise UserError(f"no channel order is called {order!r}: give rgb or bgr")
    if order == "bgr" and not (KINDS[kind].input_key and KINDS[kind].output_key):
        raise UserError(f"{kind} weights are taken in the order rgb alone: the bands enter this network in many places")
    return order


def _network(path: Path, kind: str, shapes: Shapes) -> tuple[dict[str, Any], Shapes]:
    """Return the config implied by the shapes, and the shapes that its network has; it is built without memory."""
    try:
        config = KINDS[kind].config_of(shapes)
        with torch.device("meta"):
            if kind == "de":
                parts = {"denoiser": DENOISERS.build(config["denoiser"]), "fusion": FUSIONS.build(config["fusion"])}
                network: nn.Module = nn.ModuleDict(parts)
            else:
                network = REFERENCES.build(config)
    except KeyError as error:
        raise UserError(f"{path}: incomplete {kind} weights: {error} is missing") from error
    except (UserError, ArithmeticError, IndexError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: not {kind} weights: no such network has these shapes ({reason})") from error
    return config, {key: tuple(value.shape) for key, value in network.state_dict().items()}


def _rename(path: Path, kind: Kind, official: dict[str, torch.Tensor]) -> dict[str, tuple[str, torch.Tensor]]:
    """Return our key -> (official key, tensor), without what the network does not use."""
    ours: dict[str, tuple[str, torch.Tensor]] = {}
    for key, value in official.items():
        if kind.unused and re.search(kind.unused, key):
            continue
        name = kind.rename(key)
        if name in ours:
            raise UserError(f"{path}: {ours[name][0]!r} and {key!r} are the same weight: remove one")
        ours[name] = key, value
    return ours


def _check(
    path: Path, kind: str, ours: dict[str, tuple[str, torch.Tensor]], expected: Shapes, official: Iterable[str]
) -> None:
    """Raise one error that lists every missing, unexpected and misshapen key."""
    wrong = [
        f"{key} is {tuple(value.shape)}, not {expected[name]}"
        for name, (key, value) in ours.items()
        if name in expected and tuple(value.shape) != expected[name]
    ]
    faults = [
        _some("missing (our names)", [name for name in expected if name not in ours]),
        _some("unexpected", [repr(key) for name, (key, _) in ours.items() if name not in expected]),
        _some("of wrong shape", wrong),
    ]
    if any(faults):
        raise UserError(
            f"{path}: not the {kind} network: {'; '.join(filter(None, faults))}{_other_kind(official, kind)}"
        )


def _some(fault: str, items: list[str], shown: int = 3) -> str:
    """Return ``2 missing: a, b``, with the first few items."""
    more = ", ..." if len(items) > shown else ""
    return f"{len(items)} {fault}: {', '.join(items[:shown])}{more}" if items else ""


def _other_kind(keys: Iterable[str], kind: str) -> str:
    """Return a hint at the kinds whose signature is among ``keys``, without those that another of them extends."""
    matching = {name: found for name, found in KINDS.items() if found.signature in keys}
    extended = [found.extends for found in matching.values()]
    like = " or ".join(name for name, found in matching.items() if name != kind and found not in extended)
    return f"; it looks like {like} weights: import it as {like}" if like else ": give the complete official file"


def _to_float32(path: Path, key: str, value: torch.Tensor) -> torch.Tensor:
    """Return a copy of its own in float32; official files share memory between keys, which our format forbids.

    What is too small for a normal number becomes 0, which changes no bit of an output: half of SpA-GAN's published
    weights are that small, and a CPU computes with them 6 times slower.
    """
    if not value.is_floating_point():
        raise UserError(f"{path}: {key} holds {value.dtype}, not floating-point weights")
    value = value.detach().to(torch.float32, copy=True).contiguous()
    if not torch.isfinite(value).all():
        raise UserError(f"{path}: {key} holds non-finite values (NaN or infinity): the training had failed")
    return value.masked_fill_(value.abs() < torch.finfo(torch.float32).tiny, 0)


def _to_rgb(path: Path, kind: Kind, state_dict: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Swap the first and the third band that go into the network and come out of it, in our keys."""
    assert kind.input_key and kind.output_key  # by checked_order
    places = [(kind.input_key, 1), (kind.output_key, 0), (kind.output_key.replace(".weight", ".bias"), 0)]
    for key, axis in places:
        if key.endswith(".bias") and key not in state_dict:
            continue
        weight = state_dict[key]
        if weight.shape[axis] < 3:
            raise UserError(f"{path}: a network of {weight.shape[axis]} bands has no order bgr: give rgb")
        swapped = torch.tensor([2, 1, 0, *range(3, weight.shape[axis])])
        state_dict[key] = weight.index_select(axis, swapped)
    return state_dict
