"""Weights out: one part of a model as a plain state dict, for use without this package."""

import json
from pathlib import Path

import torch
from safetensors.torch import save as serialised

from declouds.atomic_file import replacing
from declouds.errors import UserError
from declouds.weights.file import WeightsFile, check_output

SUFFIXES = (".safetensors", ".pth")


def export_part(weights: WeightsFile, part: str, output: Path, overwrite: bool = False) -> dict[str, torch.Tensor]:
    """Write one part's state dict, under its own keys, and return it.

    Args:
        weights: the file it comes from.
        part: ``reference``, ``denoiser``, ``fusion``, or what other parts the model has.
        output: a ``.safetensors`` file, which also says the part's config, or a ``.pth`` file of tensors alone.
        overwrite: replace ``output`` if it exists.

    Raises:
        UserError: the model has no such part, or the output cannot be written.
    """
    check_output(output, overwrite, SUFFIXES)
    state_dict = {
        key.removeprefix(f"{part}."): value for key, value in weights.state_dict.items() if key.startswith(f"{part}.")
    }
    if not state_dict:
        raise UserError(f"the model has no part {part!r} with weights: it has {', '.join(parts_of(weights))}")
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
