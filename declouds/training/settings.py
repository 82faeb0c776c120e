"""Settings shared by the stages of a run: config, data, model and pretrained weights."""

import json
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from mmengine.config import Config

from declouds.digests import file_digest
from declouds.errors import UserError
from declouds.evaluation.load_checked import differing_parts
from declouds.hardware import pick_device
from declouds.inference import choose_precision
from declouds.layers.timm_encoder import without_pretrained
from declouds.models import build_model, model_class
from declouds.registry import DATAMODULES
from declouds.weights.file import load_strictly, read_weights
from declouds.weights.zoo import find_weights

Weights = dict[str, torch.Tensor]  # under the model's keys, which start with the name of a part


@dataclass(frozen=True)
class Settings:
    """Settings shared by the stages of a run.

    Args:
        config: the resolved config.
        datamodule: the data module, set up for training.
        model_config: the model's config with bands and value range filled in.
        learned: the parts of the model that have weights.
        launcher: ``none``, ``pytorch`` or ``slurm``.
    """

    config: Config
    datamodule: Any
    model_config: dict[str, Any]
    learned: frozenset[str]
    launcher: str

    @property
    def seed(self) -> int:
        """Seed of the run."""
        return self.config.get("seed", 0)


def settings_of(config: Config, launcher: str) -> Settings:
    """Choose the precision, set up the data, complete the model's config, and build the model once to check it.

    Raises:
        UserError: data or model are invalid, or do not match; see also `choose_precision`.
    """
    config.precision = choose_precision(config.get("precision", "fp32"), pick_device(), safe=True)
    datamodule = DATAMODULES.build(config.datamodule)
    datamodule.setup("fit")
    model_config = _with_bands_and_units(plain(config.model), datamodule)
    model = build_model(model_config)
    learned = frozenset(part for part in model.existing_parts() if list(getattr(model, part).parameters()))
    return Settings(config, datamodule, model_config, learned, launcher)


def plain(config: Any) -> Any:
    """Turn MMEngine's ConfigDict into plain dicts and lists."""
    return json.loads(json.dumps(config))


def without_places(config: dict[str, Any], datamodule: Any) -> dict[str, Any]:
    """Return the config of a data module without the entries for the location and reading of its data."""
    return {key: value for key, value in config.items() if key not in getattr(datamodule, "places", ())}


def _with_bands_and_units(config: dict[str, Any], data: Any) -> dict[str, Any]:
    """Return the model's config with bands, value range and sources filled in from the data.

    Raises:
        UserError: the config's bands or sources differ from the data's, or it has an entry that belongs to a stage.
    """
    sample = data.train_dataset[0]
    counts = {"bands": len(sample["clear"]), "in_bands": len(sample["cloudy"])}
    for key, count in counts.items():
        if config.get(key) not in (None, count):
            raise UserError(f"the model has {key}={config[key]}, but the data have {count}: make them agree")
    for key in model_class(config).stage_entries:
        if key in config:
            raise UserError(f"{key} belongs to a stage, not to the model: move it there")
    more: dict[str, Any] = {} if counts["in_bands"] == counts["bands"] else {"in_bands": counts["in_bands"]}
    inputs = getattr(data, "inputs", ())
    if len(inputs) > 1:
        more["inputs"] = [source.config() for source in inputs]
        if config.get("inputs") is not None and plain(config["inputs"]) != more["inputs"]:
            raise UserError("the model has other inputs than the data: remove them, since the data define them")
    units = (data.value_range.low, data.value_range.high)
    return {"bands": data.bands, "value_range": units, "band_names": list(data.band_names), **more, **config}


class GivenPart(NamedTuple):
    """Pretrained weights of a part under the model's keys, with the file, its digest and its training record."""

    state: Weights
    origin: dict[str, Any]


def given_parts(settings: Settings) -> dict[str, GivenPart]:
    """Return part -> weights of the parts that the config loads from files and does not train.

    Raises:
        UserError: a file lacks the part, or holds a network that differs from the config or was trained with another
            value range or other bands.
    """
    parts = model_class(settings.model_config).parts
    wanted = {part: settings.config.get(f"{part}_weights", "train") for part in parts}
    return {
        part: _read(settings, part, source, f"{part}_weights") for part, source in wanted.items() if source != "train"
    }


def start_parts(settings: Settings) -> dict[str, GivenPart]:
    """Return part -> initial weights of the parts that ``load_from`` provides.

    Raises:
        UserError: see `given_parts`.
    """
    source = settings.config.get("load_from")
    if source is None:
        return {}
    if isinstance(source, str):
        held = {key.split(".")[0] for key in read_weights(source).state_dict}
        source = {part: source for part in sorted(settings.learned & held)}
    if not isinstance(source, dict) or not source:
        raise UserError(f"load_from={source!r}: give a weights file with parts of this model, or dict(part=file)")
    return {part: _read(settings, part, file, f"load_from.{part}") for part, file in source.items()}


def _read(settings: Settings, part: str, source: Any, key: str) -> GivenPart:
    if not isinstance(source, str):
        raise UserError(f"{key}={source!r}: give a weights file or a name from the zoo, or remove it to train the part")
    if part not in settings.learned:
        raise UserError(f"{key}={source!r}: the model has no {part} with weights: remove it")
    weights, ours = read_weights(source), settings.model_config
    differing = differing_parts(weights.config, ours, model_class(ours).learned_with.get(part, (part,)))
    differing += [
        f"{key}={weights.config[key]}, not {ours[key]}"
        for key in ("value_range", "band_names", "inputs")
        if weights.config.get(key) and ours.get(key) and list(weights.config[key]) != list(ours[key])
    ]
    if differing:
        raise UserError(f"{source}: its {part} differs from the config ({'; '.join(differing)}): make them agree")
    state = {key: value for key, value in weights.state_dict.items() if key.startswith(f"{part}.")}
    with without_pretrained():
        network = getattr(build_model(ours), part)
    load_strictly(network, part_of(state, part), source)
    return GivenPart(state, dict(file=source, sha256=file_digest(find_weights(source)), record=weights.record))


def part_of(state: Weights, part: str) -> Weights:
    """Return the weights of one part of a model, without the prefix of the part's name."""
    return {key.removeprefix(f"{part}."): value for key, value in state.items() if key.startswith(f"{part}.")}
