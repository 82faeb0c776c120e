"""The model that a stage trains, and the weights that it starts from."""

from contextlib import nullcontext
from typing import Any

import torch

from declouds.layers.timm_encoder import without_pretrained
from declouds.models import build_model
from declouds.training.settings import Settings
from declouds.training.stage import Stage
from declouds.weights.file import load_strictly

Weights = dict[str, torch.Tensor]
RECORD = ("bands", "in_bands", "value_range", "band_names")  # what every model is told of the data


def start_of_stage(stage: Stage, state: dict[str, Weights]) -> Weights:
    """Choose where the stage starts: frozen parts from their averages, trained ones as ``start_from`` says."""
    chosen, average = state[stage.start_from], state["average"]
    return {key: (chosen if key.split(".")[0] in stage.changes else average)[key] for key in chosen}


def model_of_stage(stage: Stage, settings: Settings, state: Weights) -> Any:
    """Build the parts that the stage trains, and those that have weights by now or need none."""
    config, learned = settings.model_config, settings.learned
    torch.manual_seed(settings.seed)
    if stage.train == ("reference",):
        record: dict[str, Any] = {key: config[key] for key in RECORD if key in config}
        model = build_model({**_training_of_reference(stage), "reference": config["reference"], **record})
    else:
        ready = {key.split(".")[0] for key in state}
        if not learned & {"reference", "fusion"} <= ready | set(stage.train):
            config = {**config, "fusion": None, "reference": None}
        fetch = nullcontext() if set(stage.train) - ready else without_pretrained()
        with fetch:  # what has weights by now is not asked of the network again
            model = build_model(config)
    for part in model.existing_parts():
        if weights := part_of(state, part):
            load_strictly(getattr(model, part), weights, f"the weights of the stages before {stage.name}")
    model.train_only((learned | {"discriminator"}) & stage.changes)
    return model


def _training_of_reference(stage: Stage) -> dict[str, Any]:
    """Return the model that trains a reference alone, and its losses."""
    if stage.discriminator is None:
        return dict(type="OnePass", losses=stage.losses)
    return dict(
        type="Adversarial",
        losses=stage.losses,
        discriminator=stage.discriminator,
        adversarial_loss=stage.adversarial_loss,
        gradient_penalty=stage.gradient_penalty,
    )


def part_of(state: Weights, part: str) -> Weights:
    """Return the weights of one part of a model, without the part's name."""
    return {key.removeprefix(f"{part}."): value for key, value in state.items() if key.startswith(f"{part}.")}
