"""State dicts out of the files that ``torch.save`` writes, without running what may be in them."""

import pickle
import re
import warnings
from pathlib import Path
from typing import Any

import torch

from declouds.errors import UserError

WRAPPERS = ("module.", "gen.")  # before every key: of DataParallel, and of the authors' collection of networks


def read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """Return the state dict of a file, or of the checkpoint in it, without the prefixes of wrapping networks.

    Raises:
        UserError: the file is missing, broken, asks to run code, or holds no state dict or several.
    """
    return _without_wrappers(_state_dict_in(_load(path), path))


def _load(path: Path) -> Any:
    """Unpickle tensors and plain containers only."""
    if path.is_dir():
        raise UserError(f"{path} is a folder: give the official file in it")
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
    """Return the state dict in ``content``, which is one, or a checkpoint that holds one beside other things."""
    if isinstance(content, dict):
        inside = [key for key, value in content.items() if _is_state_dict(value)]
        if len(inside) > 1:
            names = ", ".join(repr(key) for key in inside)
            raise UserError(f"{path}: holds several state dicts ({names}): save the one you want alone")
        content = content[inside[0]] if inside else content
    if not isinstance(content, dict) or not content:
        raise UserError(
            f"{path}: not a state dict but a {type(content).__name__}: torch.save(network.state_dict(), file)"
        )
    for key, value in content.items():
        if not isinstance(key, str):
            raise UserError(
                f"{path}: not a state dict: a key is of type {type(key).__name__}, not the name of a weight"
            )
        if not isinstance(value, torch.Tensor):
            raise UserError(f"{path}: not a state dict: {key!r} holds a {type(value).__name__}, not a tensor")
        if not value.numel():
            raise UserError(
                f"{path}: {key!r} is an empty tensor, so this is not a trained network: give an official file"
            )
        # A tensor larger than what is stored of it (a view that repeats itself) would grow out of a small file.
        if (
            value.layout != torch.strided
            or value.device.type != "cpu"
            or value.nbytes > value.untyped_storage().nbytes()
        ):
            raise UserError(f"{path}: {key!r} holds no weights of its own ({value.layout}, {value.device.type})")
    return content


def _is_state_dict(value: Any) -> bool:
    return isinstance(value, dict) and bool(value) and all(isinstance(item, torch.Tensor) for item in value.values())


def _without_wrappers(state_dict: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Strip what wrapping networks put before every key, once for each time it was wrapped."""
    while wrapper := next((name for name in WRAPPERS if all(key.startswith(name) for key in state_dict)), None):
        state_dict = {key.removeprefix(wrapper): value for key, value in state_dict.items()}
    return state_dict
