"""Models: networks trained as a whole, assembled from registered parts."""

from typing import Any

from declouds.models.adversarial import Adversarial
from declouds.models.cloud_remover import CloudRemover
from declouds.models.diffusion_enhancement import DiffusionEnhancement
from declouds.models.one_pass import OnePass
from declouds.registry import MODELS

__all__ = ["Adversarial", "DiffusionEnhancement", "OnePass", "build_model", "model_class"]


def model_class(config: dict[str, Any]) -> type[CloudRemover]:
    """Return the class that a model config names.

    Raises:
        UserError: the model is unknown.
    """
    model: type[CloudRemover] = MODELS.find(str(config.get("type") if isinstance(config, dict) else config))
    return model


def build_model(config: dict[str, Any]) -> CloudRemover:
    """Build a model from its config.

    Raises:
        UserError: the model or one of its parts is unknown, or does not accept these arguments.
    """
    model: CloudRemover = MODELS.build(config)
    return model


def unchanged(bands: int) -> "CloudRemover":
    """Return a model whose result is the cloudy image itself."""
    return build_model(dict(type="OnePass", reference=dict(type="Identity"), losses=[], bands=bands))
