"""Import of the weights that the authors publish, under our own names, and never in part."""

import os
import pickle
import re
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from declouds.errors import UserError
from declouds.registry import DENOISERS, FUSIONS, REFERENCES
from declouds.weights.kinds import KINDS, Kind, Shapes

CONTAINERS = ("state_dict", "model_state_dict", "model", "params")


def import_official(path: str | os.PathLike[str], kind: str) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Read an official weight file and translate it to one of our networks.

    Half precision becomes float32, and the ``module.`` of DataParallel goes. Nothing in the file is executed.

    Args:
        path: the file, as ``torch.save`` wrote it.
        kind: ``mpr_net`` or ``msda`` (a reference), or ``de`` (denoiser and fusion of Diffusion Enhancement, whose file
            has no reference).

    Returns:
        The config that builds the network, and its whole state dict. For ``de`` the config is a
        ``DiffusionEnhancement`` without ``reference``, and the keys begin with ``denoiser.`` or ``fusion.``.

    Raises:
        UserError: the kind is unknown; the file is missing, broken, asks to run code or is no state dict; or its keys
            and shapes are not exactly those of the network.
    """
    path = Path(path)
    if kind not in KINDS:
        raise UserError(f"no kind of official weights is called {kind!r}: known: {', '.join(KINDS)}")
    official = _without_prefix(_state_dict_in(_load(path), path))
    if KINDS[kind].signature not in official:
        raise UserError(f"{path}: not {kind} weights: no {KINDS[kind].signature!r} in it{_other_kind(official, kind)}")
    config, expected = _network(path, kind, {key: tuple(value.shape) for key, value in official.items()})
    ours = _rename(path, KINDS[kind], official)
    _check(path, kind, ours, expected)
    return config, {key: _to_float32(path, *ours[key]) for key in expected}


def _load(path: Path) -> Any:
    """Unpickle tensors and plain containers only."""
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the file's pickle protocol: the error says what matters
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if asked_for := re.search(r"GLOBAL ([\w.]+)", str(error)):
            raise UserError(
                f"{path}: refused, it holds more than tensors and could run code ({asked_for[1]}): "
                "save the state dict alone, torch.save(network.state_dict(), file)"
            ) from error
        raise UserError(f"{path}: no PyTorch weights, or cut short: download the file again") from error
    except Exception as error:  # whatever a broken file makes torch.load raise: RuntimeError, EOFError, KeyError, ...
        raise UserError(f"{path}: no PyTorch weights, or cut short: download the file again") from error


def _state_dict_in(content: Any, path: Path) -> dict[str, torch.Tensor]:
    """Return the state dict in ``content``, which is one, or a checkpoint that holds one."""
    while isinstance(content, dict) and (inside := [key for key in CONTAINERS if isinstance(content.get(key), dict)]):
        if len(inside) > 1:
            raise UserError(f"{path}: holds several state dicts ({', '.join(inside)}): save the one you want alone")
        content = content[inside[0]]
    if not isinstance(content, dict) or not content:
        raise UserError(
            f"{path}: not a state dict but a {type(content).__name__}: torch.save(network.state_dict(), file)"
        )
    for key, value in content.items():
        if not isinstance(key, str) or not isinstance(value, torch.Tensor):
            raise UserError(f"{path}: not a state dict: {key!r} holds a {type(value).__name__}, not a tensor")
        if not value.numel():
            raise UserError(f"{path}: {key!r} is an empty tensor, so this is no trained network: give an official file")
    return content


def _without_prefix(state_dict: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Strip the ``module.`` that DataParallel puts before every key, once for each time it was wrapped."""
    while all(key.startswith("module.") for key in state_dict):
        state_dict = {key.removeprefix("module."): value for key, value in state_dict.items()}
    return state_dict


def _network(path: Path, kind: str, shapes: Shapes) -> tuple[dict[str, Any], Shapes]:
    """Return the config that the shapes tell of, and the shapes that its network has; it is built without memory."""
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


def _check(path: Path, kind: str, ours: dict[str, tuple[str, torch.Tensor]], expected: Shapes) -> None:
    """Raise one error that tells of every missing, unexpected and misshapen key."""
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
        raise UserError(f"{path}: not the {kind} network: {'; '.join(filter(None, faults))}: use the complete file")


def _some(fault: str, items: list[str], shown: int = 3) -> str:
    """Return ``2 missing: a, b``, with the first few items."""
    more = ", ..." if len(items) > shown else ""
    return f"{len(items)} {fault}: {', '.join(items[:shown])}{more}" if items else ""


def _other_kind(keys: Iterable[str], kind: str) -> str:
    """Return a hint at the kind whose signature is among ``keys``."""
    like = [other for other in KINDS if other != kind and KINDS[other].signature in keys]
    return f"; it looks like {like[0]} weights: import it as {like[0]}" if like else ": give an official file"


def _to_float32(path: Path, key: str, value: torch.Tensor) -> torch.Tensor:
    """Return a copy of its own in float32; official files share memory between keys, which our format forbids."""
    if value.layout != torch.strided or not value.is_floating_point():
        raise UserError(f"{path}: {key} holds {value.dtype} ({value.layout}), not floating-point weights")
    if not torch.isfinite(value).all():
        raise UserError(f"{path}: {key} holds values that are no numbers (nan or inf): the training had failed")
    return value.detach().to(torch.float32, copy=True).contiguous()
