"""Pretrained weights: of finished parts (``PART_weights``), and those that training starts from (``load_from``)."""

from typing import Any, NamedTuple

from declouds.download import file_digest
from declouds.errors import UserError
from declouds.evaluation.load_checked import differing_parts
from declouds.layers.timm_encoder import without_pretrained
from declouds.models import build_model, model_class
from declouds.training.settings import Settings
from declouds.training.stage_model import Weights, part_of
from declouds.weights.file import load_strictly, read_weights
from declouds.weights.zoo import find_weights


class GivenPart(NamedTuple):
    """Weights of a part under the model's keys, and the file, its digest and its own record."""

    state: Weights
    origin: dict[str, Any]


def given_parts(settings: Settings) -> dict[str, GivenPart]:
    """Return part -> weights, of the finished parts that the config takes from a file.

    Raises:
        UserError: a file holds none of its part, another network than the config's, or one that was trained on other
            units or bands.
    """
    parts = model_class(settings.model_config).parts
    wanted = {part: settings.config.get(f"{part}_weights", "train") for part in parts}
    return {
        part: _read(settings, part, source, f"{part}_weights") for part, source in wanted.items() if source != "train"
    }


def start_parts(settings: Settings) -> dict[str, GivenPart]:
    """Return part -> weights, of the parts that training starts from: all that the file of ``load_from`` holds.

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
        raise UserError(
            f"{key}={source!r}: give a weights file or a name of the zoo, or leave it out to train the part"
        )
    if part not in settings.learned:
        raise UserError(f"{key}={source!r}: the model has no {part} with weights: leave it out")
    weights, ours = read_weights(source), settings.model_config
    differing = differing_parts(weights.config, ours, model_class(ours).learned_with.get(part, (part,)))
    differing += [
        f"{key}={weights.config[key]}, not {ours[key]}"
        for key in ("value_range", "band_names")
        if weights.config.get(key) and ours[key] and list(weights.config[key]) != list(ours[key])
    ]
    if differing:
        raise UserError(f"{source} holds another {part} than the config's ({'; '.join(differing)})")
    state = {key: value for key, value in weights.state_dict.items() if key.startswith(f"{part}.")}
    with without_pretrained():
        network = getattr(build_model(ours), part)
    load_strictly(network, part_of(state, part), source)
    return GivenPart(state, dict(file=source, sha256=file_digest(find_weights(source)), record=weights.record))
