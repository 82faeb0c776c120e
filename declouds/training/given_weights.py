"""Parts whose weights a config takes from a file, by ``reference_weights`` and ``denoiser_weights``."""

from typing import Any, NamedTuple

from declouds.download import file_digest
from declouds.errors import UserError
from declouds.evaluation.load_checked import differing_parts
from declouds.layers.timm_encoder import without_pretrained
from declouds.models import build_model
from declouds.training.settings import Settings
from declouds.training.stage_model import Weights, part_of
from declouds.weights.file import load_strictly, read_weights
from declouds.weights.zoo import find_weights

PARTS = ("reference", "denoiser")
LEARNED_WITH = {"reference": ("reference",), "denoiser": ("denoiser", "noise_schedule")}


class GivenPart(NamedTuple):
    """Weights of a part under the model's keys, and the file, its digest and its own record."""

    state: Weights
    origin: dict[str, Any]


def given_parts(settings: Settings) -> dict[str, GivenPart]:
    """Return part -> weights, of the parts that the config takes from a file.

    Raises:
        UserError: a file holds none of its part, another network than the config's, or one that was trained on other
            units or bands.
    """
    wanted = {part: settings.config.get(f"{part}_weights", "train") for part in PARTS}
    return {part: _read(settings, part, source) for part, source in wanted.items() if source != "train"}


def _read(settings: Settings, part: str, source: Any) -> GivenPart:
    if not isinstance(source, str):
        raise UserError(f"{part}_weights={source!r}: give 'train', a weights file or a name of the zoo")
    if part not in settings.learned:
        raise UserError(f"{part}_weights={source!r}: the model has no {part} with weights: set it to 'train'")
    weights, ours = read_weights(source), settings.model_config
    differing = differing_parts(weights.config, ours, LEARNED_WITH[part])
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
