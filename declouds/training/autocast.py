"""Mixed precision that works on CPU and GPU alike."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from torch import nn


@OPTIM_WRAPPERS.register_module()
class AutocastOptimWrapper(OptimWrapper):
    """Run the forward pass in bfloat16 where torch deems it safe.

    MMEngine's AmpOptimWrapper refuses the CPU. bfloat16 has the exponents of float32, so no gradient scaler is needed.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[Any]:
        """Autocast around the forward pass on the model's device."""
        device = next(model.parameters()).device.type
        with super().optim_context(model), torch.autocast(device, torch.bfloat16):
            yield
