"""Load a trained model and check that it matches the config and the data."""

import inspect
import json
import logging
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from declouds.errors import UserError
from declouds.inference import prepare, recorded
from declouds.models import model_class
from declouds.models.cloud_remover import CloudRemover
from declouds.registry import PART_REGISTRIES
from declouds.scenes.rasters.bands import plain_name
from declouds.sources import Source
from declouds.weights.file import check_parts, model_of, read_weights

NOT_LEARNED = (
    "sampler",
    "diffusion_loss",
    "loss",
    "discriminator",
    "datamodule",
)  # may differ from training


def load_checked(
    checkpoint: Path,
    config: Config,
    datamodule: Any,
    sample: dict[str, Any],
    device: str | torch.device = "cpu",
    precision: str = "fp32",
    steps: int | None = None,
) -> Any:
    """Load a model, after checking that it matches the config and the data.

    The file's model config must equal the config's, except for entries that only affect sampling, which are taken from
    the config. The number of steps recorded in the file is used unless the config changes them.

    Args:
        checkpoint: the weights file.
        config: the config.
        datamodule: the data module.
        sample: a sample of the data.
        device: device of the model.
        precision: see `declouds.inference.prepare`.
        steps: see `declouds.inference.prepare`.

    Raises:
        UserError: the file is unusable, or its model differs from the config, or its bands, their order or its sources
            from the data; see also `declouds.inference.prepare`.
    """
    weights = read_weights(checkpoint)
    wanted = config.model.to_dict()
    differing = differing_parts(weights.config, wanted) or differing_entries(weights.config, wanted)
    if differing:
        raise UserError(
            f"{checkpoint}: its model differs from {config.filename} ({'; '.join(differing)}): "
            "give the config it was trained with"
        )
    sampling = {key: wanted[key] for key in model_class(wanted).sampling_entries if key in wanted}
    model = model_of(weights._replace(config={**weights.config, **sampling}), str(checkpoint), device)
    bands, in_bands = len(sample["clear"]), len(sample["cloudy"])
    if (model.bands, model.in_bands) != (bands, in_bands):
        raise UserError(
            f"{checkpoint}: the model makes {model.bands} bands from {model.in_bands}, but the data have {bands} and "
            f"{in_bands}: give a checkpoint trained on these bands, or select the data's bands"
        )
    _check_order(checkpoint, model.band_names, datamodule.band_names)
    _check_sources(checkpoint, model.inputs[1:], getattr(datamodule, "inputs", ())[1:])
    if model.value_range != datamodule.value_range:
        logging.getLogger("declouds").warning(
            "the model was trained with value range %s to %s, these data have %s to %s",
            model.value_range.low, model.value_range.high, datamodule.value_range.low, datamodule.value_range.high,
        )  # fmt: skip
    changed = changed_sampling(weights.config, wanted)
    if changed:  # the spread of another sampler was never compared with its errors
        inference = {key: value for key, value in recorded(model).items() if key != "spread"}
        model.record = model.record | dict(inference=inference)
    prepare(model, precision, steps, use_recorded=not changed)
    return model


def _check_order(checkpoint: Path, models: Sequence[str], datas: Sequence[str]) -> None:
    """Refuse data with a band of the model at another place; names that the other side lacks say nothing.

    Raises:
        UserError: names both orders.
    """
    model, data = ([plain_name(name) for name in names] for names in (models, datas))
    if any(name in model and model.index(name) != place for place, name in enumerate(data)):
        raise UserError(
            f"{checkpoint}: the model takes the bands {', '.join(models)}, and the data have {', '.join(datas)}: order "
            "the data's bands as the model's, with `bands` and `band_names` of the data module"
        )


def _check_sources(checkpoint: Path, models: Sequence[Source], datas: Sequence[Source]) -> None:
    """Refuse data with other sources beside the image than those that the model records.

    Raises:
        UserError: names both.
    """
    undated = [[replace(source, days=None) for source in sources] for sources in (models, datas)]
    if models and undated[0] != undated[1]:
        trained, given = ("; ".join(map(_described, sources)) or "none" for sources in (models, datas))
        raise UserError(
            f"{checkpoint}: the model was trained with the sources {trained}, and the data have {given}: give the data "
            "the same sources in the same order"
        )


def _described(source: Source) -> str:
    ranges = ", ".join(dict.fromkeys(map(str, source.ranges)))
    return f"{source.name} ({', '.join(source.bands)}; {ranges}{'; optional' if source.optional else ''})"


def changed_sampling(stored: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """Return the entries read only by sampling in which a config differs from that of the weights."""
    keys = model_class(wanted).sampling_entries
    return sorted(key for key in keys if key in wanted and stored.get(key) != wanted[key])


def differing_parts(stored: dict[str, Any], wanted: dict[str, Any], parts: Collection[str] | None = None) -> list[str]:
    """Return the differences between the parts of two model configs, or only between those of ``parts``.

    A missing argument counts as its default, and missing bands as the model's; a default of None matches anything.

    Raises:
        UserError: a part is not registered.
    """
    check_parts(stored, "the weights file")
    differences = []
    if parts is None and stored.get("type") != wanted.get("type"):
        differences.append(f"model: {stored.get('type')}, not {wanted.get('type')}")
    for registry in PART_REGISTRIES:
        if registry.name in NOT_LEARNED or (parts is not None and registry.name not in parts):
            continue
        have, want = (_complete(config, registry) for config in (stored, wanted))
        if have["type"] != want["type"]:
            differences.append(f"{registry.name}: {have['type']}, not {want['type']}")
            continue
        keys = sorted(key for key in have.keys() & want.keys() if have[key] != want[key])
        differences += [f"{registry.name}: {key}={have[key]!r}, not {want[key]!r}" for key in keys]
    return differences


def differing_entries(stored: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """Return the differences between two model configs, except for parts and entries that only affect sampling.

    Entries missing in ``wanted`` are ignored; entries that are None, or missing in ``stored``, count as the default.
    """
    kind = model_class(wanted)
    defaults = {
        name: parameter.default
        for base in reversed(kind.__mro__)
        if issubclass(base, CloudRemover)
        for name, parameter in inspect.signature(base).parameters.items()
    }
    given = ({key: value for key, value in config.items() if value is not None} for config in (stored, wanted))
    have, want = (json.loads(json.dumps(defaults | entries, default=str)) for entries in given)
    parts = {registry.name for registry in PART_REGISTRIES}
    compared = set(wanted) - parts - kind.sampling_entries - set(kind.stage_entries) - {"type"}
    return [
        f"model.{key}: {have.get(key)!r}, not {want.get(key)!r}"
        for key in sorted(compared)
        if have.get(key) != want.get(key)
    ]


def _complete(model: dict[str, Any], registry: Any) -> dict[str, Any]:
    """Return a part's config with the defaults of its model and class filled in, without None, in JSON types."""
    config = model.get(registry.name)
    if not isinstance(config, dict) or "type" not in config:
        return {"type": None}
    parameters = inspect.signature(registry.find(config["type"])).parameters.values()
    defaults = {
        parameter.name: parameter.default for parameter in parameters if parameter.default is not parameter.empty
    }
    bands = {key: model.get(key) for key in ("bands", "in_bands") if key in defaults}
    complete = {key: value for key, value in {**defaults, **bands, **config}.items() if value is not None}
    return json.loads(json.dumps(complete, default=str))
