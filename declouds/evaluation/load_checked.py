"""A trained model together with the config and the data it is tested on: do they belong together?"""

import inspect
import json
import logging
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from declouds.errors import UserError
from declouds.inference import prepare
from declouds.models import model_class
from declouds.models.cloud_remover import CloudRemover
from declouds.registry import PART_REGISTRIES
from declouds.weights.file import check_parts, model_of, read_weights

NOT_LEARNED = (
    "sampler",
    "diffusion_loss",
    "loss",
    "discriminator",
    "datamodule",
)  # these may differ from what the model was trained with


def load_checked(
    checkpoint: Path,
    config: Config,
    datamodule: Any,
    sample: dict[str, Any],
    device: str | torch.device = "cpu",
    precision: str = "fp32",
    steps: int | None = None,
) -> Any:
    """Load a model, after checking that it is the config's and fits the data.

    The model is that of the file, and must be that of the config, but for the entries that only sampling reads: these
    are the config's. The number of steps recorded in the file counts unless the config changes them.

    Args:
        checkpoint: the weights file.
        config: the config.
        datamodule: the data module.
        sample: a sample of the data.
        device: where the model goes.
        precision: see `declouds.inference.prepare`, as for ``steps``.
        steps: as there.

    Raises:
        UserError: the file is unusable, its model is another one than the config's, or its bands are not the data's;
            see also `declouds.inference.prepare`.
    """
    weights = read_weights(checkpoint)
    wanted = config.model.to_dict()
    differing = differing_parts(weights.config, wanted) or differing_entries(weights.config, wanted)
    if differing:
        raise UserError(
            f"{checkpoint}: holds another model than {config.filename} ({'; '.join(differing)}): "
            "give the config it was trained with"
        )
    sampling = {key: wanted[key] for key in model_class(wanted).sampling_entries if key in wanted}
    model = model_of(weights._replace(config={**weights.config, **sampling}), str(checkpoint), device)
    bands, in_bands = len(sample["clear"]), len(sample["cloudy"])
    if (model.bands, model.in_bands) != (bands, in_bands):
        raise UserError(
            f"{checkpoint}: the model makes {model.bands} bands from {model.in_bands}, but the data have {bands} and "
            f"{in_bands}: give the checkpoint of this data set, or choose the data's bands"
        )
    if model.value_range != datamodule.value_range:
        logging.getLogger("declouds").warning(
            "the model was trained on values from %s to %s, these data go from %s to %s",
            model.value_range.low, model.value_range.high, datamodule.value_range.low, datamodule.value_range.high,
        )  # fmt: skip
    unchanged = all(weights.config.get(key) == value for key, value in sampling.items())
    prepare(model, precision, steps, use_recorded=unchanged)
    return model


def differing_parts(stored: dict[str, Any], wanted: dict[str, Any], parts: Collection[str] | None = None) -> list[str]:
    """Say which parts of two model configs differ; with ``parts``, these alone are compared.

    An argument left out counts as its default, and bands as those of the model; a default of None stands for "as the
    others say" and agrees with any.

    Raises:
        UserError: a part of either is not registered.
    """
    check_parts(stored, "the weights file")
    faults = []
    if parts is None and stored.get("type") != wanted.get("type"):
        faults.append(f"model: {stored.get('type')}, not {wanted.get('type')}")
    for registry in PART_REGISTRIES:
        if registry.name in NOT_LEARNED or (parts is not None and registry.name not in parts):
            continue
        mine, theirs = (_complete(config, registry) for config in (stored, wanted))
        if mine["type"] != theirs["type"]:
            faults.append(f"{registry.name}: {mine['type']}, not {theirs['type']}")
            continue
        keys = sorted(key for key in mine.keys() & theirs.keys() if mine[key] != theirs[key])
        faults += [f"{registry.name}: {key}={mine[key]!r}, not {theirs[key]!r}" for key in keys]
    return faults


def differing_entries(stored: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """Say in which entries, beside its parts and those that only sampling reads, a model's config differs from another.

    An entry that ``wanted`` lacks agrees; one that is None, or that ``stored`` lacks, counts as the model's default.
    """
    kind = model_class(wanted)
    defaults = {
        name: parameter.default
        for base in reversed(kind.__mro__)
        if issubclass(base, CloudRemover)
        for name, parameter in inspect.signature(base).parameters.items()
    }
    given = ({key: value for key, value in config.items() if value is not None} for config in (stored, wanted))
    own, other = (json.loads(json.dumps(defaults | entries, default=str)) for entries in given)
    parts = {registry.name for registry in PART_REGISTRIES}
    compared = set(wanted) - parts - kind.sampling_entries - set(kind.stage_entries) - {"type"}
    return [
        f"model.{key}: {own.get(key)!r}, not {other.get(key)!r}"
        for key in sorted(compared)
        if own.get(key) != other.get(key)
    ]


def _complete(model: dict[str, Any], registry: Any) -> dict[str, Any]:
    """Return a part's config with what its model and its class fill in, and without None, in JSON's types."""
    config = model.get(registry.name)
    if not isinstance(config, dict) or "type" not in config:
        return {"type": None}
    parameters = inspect.signature(registry.find(config["type"])).parameters.values()
    defaults = {
        parameter.name: parameter.default for parameter in parameters if parameter.default is not parameter.empty
    }
    inherited = {key: model.get(key) for key in ("bands", "in_bands") if key in defaults}
    complete = {key: value for key, value in {**defaults, **inherited, **config}.items() if value is not None}
    return json.loads(json.dumps(complete, default=str))
