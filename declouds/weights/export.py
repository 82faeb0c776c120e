"""Weights out: one part of a model as a plain state dict for use without this package, or all of it again."""

import json
from pathlib import Path

import torch
from safetensors.torch import save as serialised

from declouds.atomic_file import replacing
from declouds.errors import UserError
from declouds.weights.file import WeightsFile, check_output, save_weights

SUFFIXES = (".safetensors", ".pth")


def export_model(
    weights: WeightsFile, output: Path, half: bool = False, overwrite: bool = False
) -> dict[str, torch.Tensor]:
    """Write a whole weights file again, with its config and record, and return its weights.

    Args:
        weights: the file it comes from.
        output: a ``.safetensors`` file.
        half: see `halved`.
        overwrite: replace ``output`` if it exists.

    Raises:
        UserError: the output cannot be written, or half precision cannot hold the weights.
    """
    check_output(output, overwrite, SUFFIXES[:1])
    state_dict = halved(weights.state_dict) if half else weights.state_dict
    save_weights(output, weights.config, state_dict, weights.record, overwrite)
    return state_dict


def halved(state_dict: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return weights of float32 as float16, which a model loads as float32 again; all others stay as they are.

    Raises:
        UserError: a weight is too large for float16.
    """
    smaller = {key: value.half() if value.dtype == torch.float32 else value for key, value in state_dict.items()}
    for key, value in smaller.items():
        if value.is_floating_point() and not torch.equal(value.isfinite(), state_dict[key].isfinite()):
            largest = torch.finfo(torch.float16).max
            raise UserError(f"{key} holds values above {largest:g}, the largest of half precision: leave out --half")
    return smaller


def export_part(
    weights: WeightsFile, part: str, output: Path, half: bool = False, overwrite: bool = False
) -> dict[str, torch.Tensor]:
    """Write one part's state dict, under its own keys, and return it.

    Args:
        weights: the file it comes from.
        part: ``reference``, ``denoiser``, ``fusion``, or what other parts the model has.
        output: a ``.safetensors`` file, which also says the part's config, or a ``.pth`` file of tensors alone.
        half: see `halved`.
        overwrite: replace ``output`` if it exists.

    Raises:
        UserError: the model has no such part, the output cannot be written, or half precision cannot hold the weights.
    """
    check_output(output, overwrite, SUFFIXES)
    state_dict = {
        key.removeprefix(f"{part}."): value for key, value in weights.state_dict.items() if key.startswith(f"{part}.")
    }
    if not state_dict:
        raise UserError(f"the model has no part {part!r} with weights: it has {', '.join(parts_of(weights))}")
    state_dict = halved(state_dict) if half else state_dict
    with replacing(output) as temporary:
        if output.suffix == ".pth":
            torch.save(state_dict, temporary)
        else:
            about = dict(format="pt", config=json.dumps(weights.config.get(part)))
            temporary.write_bytes(serialised(state_dict, about))
    return state_dict


def parts_of(weights: WeightsFile) -> dict[str, int]:
    """Return part -> number of parameters, by the first word of every key."""
    parts: dict[str, int] = {}
    for key, value in weights.state_dict.items():
        part = key.split(".", 1)[0]
        parts[part] = parts.get(part, 0) + value.numel()
    return parts
