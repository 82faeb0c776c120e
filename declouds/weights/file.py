"""Weights that describe themselves: safetensors with the model's config and record in the header."""

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from declouds.errors import UserError

FORMAT = "declouds weights 1"


def save_weights(
    path: str | Path,
    config: dict[str, Any],
    state_dict: dict[str, torch.Tensor],
    record: dict[str, Any],
    overwrite: bool = False,
) -> None:
    """Write weights under a temporary name and rename them to ``path``.

    Args:
        path: a ``.safetensors`` file.
        config: config that builds the model (``dict(type=..., ...)``).
        state_dict: every parameter and persistent buffer of that model.
        record: what else a reader should know: data split, stages, versions.
        overwrite: replace an existing file.

    Raises:
        UserError: the file exists, or its folder does not.
    """
    path = Path(path)
    check_output(path, overwrite)
    metadata = dict(format=FORMAT, config=json.dumps(config), record=json.dumps(record))
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        save_file(
            {key: value.detach().cpu().contiguous().clone() for key, value in state_dict.items()}, temporary, metadata
        )
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def check_output(path: Path, overwrite: bool = False) -> None:
    """Refuse an output that exists or cannot be written.

    Raises:
        UserError: with what to do instead.
    """
    if path.is_dir():
        raise UserError(f"{path} is a folder: give the name of a file")
    if path.exists() and not overwrite:
        raise UserError(f"{path} exists: choose another name, or give --overwrite to replace it")
    if not path.parent.is_dir():
        raise UserError(f"{path.parent} is no folder: create it, or write somewhere else")
    if not os.access(path.parent, os.W_OK):
        raise UserError(f"{path.parent} cannot be written to: check its permissions, or write somewhere else")


def read_weights(path: str | Path) -> tuple[dict[str, Any], dict[str, torch.Tensor], dict[str, Any]]:
    """Return config, state dict and record of a weights file.

    Raises:
        UserError: the file is missing, truncated, or not of this format.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path} does not exist: give the path of a .safetensors weights file")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            state_dict = {key: file.get_tensor(key) for key in file.keys()}
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"{path} is truncated or no safetensors file ({error}): files of the official code come in by "
            "`declouds weights import`"
        ) from error
    if metadata.get("format") != FORMAT:
        raise UserError(f"{path} carries no declouds config: make it with `declouds weights import` or by training")
    try:
        return json.loads(metadata["config"]), state_dict, json.loads(metadata["record"])
    except (KeyError, json.JSONDecodeError) as error:
        raise UserError(f"{path} has a damaged header: get the file again") from error


def load_model(path: str | Path, device: str | torch.device = "cpu") -> Any:
    """Build the model that a weights file describes, with its weights, in evaluation mode.

    Args:
        path: a weights file; one of a bare reference network gives a ``OnePass`` model around it.
        device: where to put the model.

    Raises:
        UserError: the file is unusable, or its weights are not those of its config.
    """
    from declouds.models import build_model
    from declouds.registry import load_plugins

    load_plugins()
    config, state_dict, record = read_weights(path)
    model = build_model(config)
    load_strictly(model, state_dict, str(path))
    model.record = record
    return model.to(device).eval()


def load_strictly(module: torch.nn.Module, state_dict: dict[str, torch.Tensor], source: str) -> None:
    """Load ``state_dict``, every key and every shape accounted for.

    Raises:
        UserError: lists what is missing, what is unexpected and what has another shape.
    """
    own = module.state_dict()
    missing = sorted(set(own) - set(state_dict))
    unexpected = sorted(set(state_dict) - set(own))
    reshaped = sorted(key for key in set(own) & set(state_dict) if own[key].shape != state_dict[key].shape)
    if missing or unexpected or reshaped:
        faults = [
            f"{len(keys)} {fault} ({', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''})"
            for fault, keys in (("missing", missing), ("unexpected", unexpected), ("of another shape", reshaped))
            if keys
        ]
        raise UserError(
            f"{source} does not fit {type(module).__name__}: {'; '.join(faults)}: use the config it was trained with"
        )
    module.load_state_dict(state_dict, strict=True)
