"""Models: networks trained as a whole, assembled from registered parts."""

from typing import Any

from mmengine.registry import MODELS

from declouds.errors import UserError
from declouds.models.adversarial import Adversarial
from declouds.models.cloud_remover import CloudRemover
from declouds.models.diffusion_enhancement import DiffusionEnhancement
from declouds.models.one_pass import OnePass
from declouds.registry import failed_plugins

__all__ = ["Adversarial", "DiffusionEnhancement", "OnePass", "build_model", "model_class"]


def model_class(config: dict[str, Any]) -> type[CloudRemover]:
    """Return the class that a model config names.

    Raises:
        UserError: the model is unknown.
    """
    name = config.get("type") if isinstance(config, dict) else config
    model = MODELS.get(str(name))
    if model is None:
        known = ", ".join(__all__[:-2])
        raise UserError(f"unknown model {name!r}; known: {known}, and those of plugins{failed_plugins()}")
    return model


def build_model(config: dict[str, Any]) -> CloudRemover:
    """Build a model from its config.

    Raises:
        UserError: the model or one of its parts is unknown, or does not accept these arguments.
    """
    model = model_class(config)
    try:
        return MODELS.build(config)
    except TypeError as error:
        raise UserError(f"model {model.__name__} cannot be built: {error}") from error


def unchanged(bands: int) -> "CloudRemover":
    """Return a model whose result is the cloudy image itself."""
    return build_model(dict(type="OnePass", reference=dict(type="Identity"), losses=[], bands=bands))
