"""Optimisers of models whose parts are trained against each other."""

from typing import Any

from mmengine.optim import OptimWrapperDict
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS, OPTIMIZERS
from torch import nn


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class PartOptimizers:
    """Build one optimiser for each named part of a model.

    Args:
        optim_wrapper_cfg: part -> config of its optimiser wrapper.
        paramwise_cfg: not used; MMEngine hands it to every constructor.
    """

    def __init__(self, optim_wrapper_cfg: dict[str, dict[str, Any]], paramwise_cfg: Any = None) -> None:
        self.configs = optim_wrapper_cfg

    def __call__(self, model: nn.Module) -> OptimWrapperDict:
        """Return the wrappers, under the names of their parts."""
        wrappers = {}
        for part, config in self.configs.items():
            parameters = list(getattr(model, part).parameters())
            optimizer = OPTIMIZERS.build({**config["optimizer"], "params": parameters})
            wrappers[part] = OPTIM_WRAPPERS.build({**config, "optimizer": optimizer})
        return OptimWrapperDict(**wrappers)
