"""A reference network trained or used on its own."""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.registry import MODELS
from torch import nn

from declouds.models.cloud_remover import CloudRemover
from declouds.registry import LOSSES, REFERENCES


@MODELS.register_module()
class OnePass(CloudRemover):
    """One network, one pass: cloudy in, clear out, trained with reconstruction losses.

    A reference that offers ``restorations(cloudy)`` (several outputs, all of them estimates of the clear image) is
    supervised on each, as MPRNet is (Zamir et al. 2021, arXiv 2102.02808, equation 3).

    Args:
        reference: config of the network.
        losses: configs of losses, each with an optional ``weight``.
        **record: ``bands``, ``in_bands``, ``value_range`` and ``band_names``, as ``CloudRemover``.
    """

    parts = ("reference",)

    def __init__(self, reference: dict, losses: Sequence[dict] = (dict(type="L1"),), **record: Any) -> None:
        super().__init__(**record)
        self.reference = REFERENCES.build(reference, bands=self.bands, in_bands=self.in_bands)
        self.loss_weights = [loss.get("weight", 1.0) for loss in losses]
        self.loss_terms = nn.ModuleList(
            LOSSES.build({key: value for key, value in loss.items() if key != "weight"}) for loss in losses
        )
        self.train_only([])

    def predict(
        self, cloudy: torch.Tensor, noise: torch.Tensor | None = None, *, name: list[str] | None = None
    ) -> torch.Tensor:
        """Return the clear image; ``noise`` is not used. Shapes: (B, in_bands, H, W) -> (B, bands, H, W)."""
        return self.prior(cloudy, name).float()

    def losses(self, cloudy: torch.Tensor, clear: torch.Tensor, name: list[str]) -> dict[str, torch.Tensor]:
        """Return each loss, summed over the network's outputs."""
        restorations = getattr(self.reference, "restorations", None)
        outputs = [self.reference(cloudy)] if restorations is None else restorations(cloudy)
        return {
            f"loss_{index}_{type(term).__name__.lower()}": weight
            * sum(term(output.float(), clear) for output in outputs)
            for index, (term, weight) in enumerate(zip(self.loss_terms, self.loss_weights, strict=True))
        }
