"""Weights that describe themselves: safetensors with the model's config and record in the header."""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialised

from declouds.atomic_file import replacing
from declouds.errors import UserError

FORMAT = "declouds weights 1"


class WeightsFile(NamedTuple):
    """What a weights file holds.

    Attributes:
        config: config that builds the model (``dict(type=..., ...)``).
        state_dict: every parameter and persistent buffer of that model.
        record: what else a reader should know: data split, stages, versions.
    """

    config: dict[str, Any]
    state_dict: dict[str, torch.Tensor]
    record: dict[str, Any]


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
        config: see `WeightsFile`, as for the next two.
        state_dict: as there.
        record: as there.
        overwrite: replace an existing file.

    Raises:
        UserError: the file exists, or its folder does not.
    """
    path = Path(path)
    check_output(path, overwrite)
    metadata = dict(format=FORMAT, config=json.dumps(config), record=json.dumps(record))
    tensors = {key: value.detach().cpu().contiguous().clone() for key, value in state_dict.items()}
    with replacing(path) as temporary:
        temporary.write_bytes(serialised(tensors, metadata))  # safetensors' own writer hides it from other users


def check_output(path: Path, overwrite: bool = False, suffixes: Sequence[str] = ()) -> None:
    """Refuse an output that exists, cannot be written, or has none of the ``suffixes`` if some are given.

    Raises:
        UserError: with what to do instead.
    """
    if path.is_dir():
        raise UserError(f"{path} is a folder: give the name of a file")
    if suffixes and path.suffix not in suffixes:
        raise UserError(f"{path}: give a name that ends in {' or '.join(suffixes)}")
    if path.exists() and not overwrite:
        raise UserError(f"{path} exists: choose another name, or give --overwrite to replace it")
    if not path.parent.is_dir():
        raise UserError(f"{path.parent} is not a folder: create it, or write somewhere else")
    if not os.access(path.parent, os.W_OK):
        raise UserError(f"{path.parent} cannot be written to: check its permissions, or write somewhere else")


def read_weights(source: str | Path) -> WeightsFile:
    """Read a weights file, given by its path or by its name in the zoo, from where it is fetched if need be.

    Nothing is built or run; what builds a model of it asks `check_parts` first.

    Raises:
        UserError: the file is missing, truncated, or not of this format.
    """
    from declouds.weights.zoo import PACKAGED, find_weights  # the zoo writes weights files

    path = find_weights(source)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            state_dict = {key: file.get_tensor(key) for key in file.keys()}
    except (SafetensorError, OSError) as error:
        cure = "official files come in by `declouds weights import`"
        if path == PACKAGED:
            cure = "it comes with declouds, so install that again"
        raise UserError(
            f"{path} is truncated or no safetensors file ({' '.join(str(error).split())}): {cure}"
        ) from error
    if metadata.get("format") != FORMAT:
        raise UserError(f"{path} carries no declouds config: make it with `declouds weights import` or by training")
    try:
        config, record = json.loads(metadata["config"]), json.loads(metadata["record"])
    except (KeyError, ValueError, RecursionError) as error:
        raise UserError(f"{path} has a damaged header: get the file again") from error
    if not isinstance(config, dict) or not isinstance(record, dict):
        raise UserError(f"{path} has a damaged header: get the file again")
    return WeightsFile(config, state_dict, record)


def fits_any_units(source: str | Path) -> bool:
    """Return whether a weights file is for scenes in any units, by its header alone; False for what is no such file.

    See `declouds.models.cloud_remover.CloudRemover`. Nothing is fetched: published weights know their units.
    """
    from declouds.weights.zoo import GENERAL, PACKAGED

    path = Path(source)
    if str(source) == GENERAL and not path.is_file():
        path = PACKAGED
    try:
        with safe_open(path, framework="pt") as file:
            return json.loads((file.metadata() or {})["config"]).get("any_units") is True
    except (SafetensorError, OSError, KeyError, ValueError, RecursionError, AttributeError):
        return path == PACKAGED  # reading it as a whole reports the fault


def load_model(source: str | Path, device: str | torch.device = "cpu") -> Any:
    """Build the model that a weights file describes, with its weights, in evaluation mode.

    Args:
        source: a weights file, ``general`` for the weights that come with the package, or a name of the zoo; one of
            a bare reference network gives a ``OnePass`` model around it.
        device: where to put the model.

    Raises:
        UserError: the file is unusable, or its weights are not those of its config.
    """
    return model_of(read_weights(source), str(source), device)


def model_of(weights: WeightsFile, source: str, device: str | torch.device = "cpu") -> Any:
    """Build the model of a weights file that is read already; ``source`` names the file in errors.

    Losses are left out: the model only predicts, and a loss may need weights of its own.

    Raises:
        UserError: see `load_model`.
    """
    from declouds.layers.timm_encoder import without_pretrained
    from declouds.models import build_model

    check_parts(weights.config, source)
    _check_bands(weights.config, source)
    config, state_dict = weights.config, weights.state_dict
    if "losses" in config:
        config = config | dict(losses=[])
        state_dict = {key: value for key, value in state_dict.items() if not key.startswith("loss_terms.")}
    try:
        with without_pretrained():  # the file holds every weight
            model = build_model(config)
    except UserError as error:
        raise UserError(f"{source}: {error}") from error
    except Exception as error:  # whatever the constructor of a part makes of arguments that it was never meant for
        reason = " ".join(str(error).split())
        raise UserError(f"{source} has a config that builds no model ({reason}): get the file again") from error
    load_strictly(model, state_dict, source)
    model.record = weights.record
    return model.to(device).eval()


def check_parts(config: dict[str, Any], source: str) -> None:
    """Check that a config out of a file asks for registered parts only, ours and those of plugins.

    MMEngine imports and calls whatever has a dotted path for a type, so without this a weights file could run code.

    Raises:
        UserError: names the unknown part.
    """
    from declouds.registry import DATAMODULES, REGISTRIES, failed_plugins, load_plugins

    load_plugins()
    registries = [registry for registry in REGISTRIES if registry is not DATAMODULES]
    for name in _types_in(config):
        if not isinstance(name, str) or not any(name in registry.parts() for registry in registries):
            raise UserError(
                f"{source} asks for {name!r}, which is not a registered part: install its plugin here{failed_plugins()}"
            )


def _check_bands(config: dict[str, Any], source: str) -> None:
    """Check the numbers of bands, which a part that has its own would not notice."""
    numbers = {key: config[key] for key in ("bands", "in_bands") if key in config}
    if numbers.get("in_bands", 0) is None:  # as many as ``bands``
        del numbers["in_bands"]
    for key, value in numbers.items():
        if type(value) is not int or value < 1:
            raise UserError(f"{source} has a config with {key}={value!r}, not a number of bands: get the file again")


def _types_in(value: Any) -> Iterator[Any]:
    """Yield every type in a config, and every scope, which MMEngine would import."""
    if isinstance(value, dict):
        yield from (value[key] for key in ("type", "_scope_") if key in value)
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _types_in(item)


def load_strictly(module: torch.nn.Module, state_dict: dict[str, torch.Tensor], source: str) -> None:
    """Load ``state_dict``, every key and every shape accounted for.

    Raises:
        UserError: lists what is missing, what is unexpected and what has another shape.
    """
    own = module.state_dict()
    faults = {
        "missing": sorted(own.keys() - state_dict.keys()),
        "unexpected": sorted(state_dict.keys() - own.keys()),
        "of another shape or type": sorted(
            key for key in own.keys() & state_dict.keys() if _kind_of(own[key]) != _kind_of(state_dict[key])
        ),
    }
    listed = [
        f"{len(keys)} {fault} ({', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''})"
        for fault, keys in faults.items()
        if keys
    ]
    if listed:
        raise UserError(
            f"{source} does not fit {type(module).__name__}: {'; '.join(listed)}: use the config it was trained with"
        )
    module.load_state_dict(state_dict, strict=True)


def _kind_of(tensor: torch.Tensor) -> tuple[torch.Size, bool]:
    """Return shape, and whether it holds fractions: half precision may fill float32, whole numbers may not."""
    return tensor.shape, tensor.is_floating_point()
