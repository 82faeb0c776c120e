"""The model that a stage trains, and the weights that it starts from."""

from collections.abc import Collection
from contextlib import nullcontext
from typing import Any

import torch

from declouds.layers.timm_encoder import without_pretrained
from declouds.models import build_model
from declouds.weights.file import load_strictly

Weights = dict[str, torch.Tensor]


def start_of_stage(start_from: str, changes: Collection[str], state: dict[str, Weights]) -> Weights:
    """Choose where a stage starts: frozen parts from their EMA, those that change as ``start_from`` says."""
    chosen, average = state[start_from], state["average"]
    return {key: (chosen if key.split(".")[0] in changes else average)[key] for key in chosen}


def model_of_stage(config: dict[str, Any], changes: Collection[str], seed: int, state: Weights, of: str) -> Any:
    """Build the model of a stage, with the weights that its parts have by now.

    Args:
        config: of the model.
        changes: the parts that are trained.
        seed: of the weights of parts that have none yet.
        state: the weights.
        of: name of the stage, for messages.
    """
    torch.manual_seed(seed)
    ready = {key.split(".")[0] for key in state}
    # What has weights by now is not downloaded again.
    with nullcontext() if set(changes) - ready else without_pretrained():
        model = build_model(config)
    for part in model.existing_parts():
        if weights := part_of(state, part):
            load_strictly(getattr(model, part), weights, f"the weights of the stages before {of}")
    model.train_only([part for part in model.existing_parts() if part in changes])
    return model


def part_of(state: Weights, part: str) -> Weights:
    """Return the weights of one part of a model, without the part's name."""
    return {key.removeprefix(f"{part}."): value for key, value in state.items() if key.startswith(f"{part}.")}
