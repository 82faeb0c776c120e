"""A reference network trained or used on its own."""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.registry import MODELS
from torch import nn

from declouds.errors import UserError
from declouds.models.cloud_remover import CloudRemover
from declouds.registry import LOSSES, REFERENCES


@MODELS.register_module()
class OnePass(CloudRemover):
    """One network, one pass: cloudy in, clear out, trained with reconstruction losses.

    A reference may offer ``training_outputs(cloudy, clear)``: a dict of what its losses are taken of. ``restorations``
    is a list of estimates of the clear image, each of which is supervised, as MPRNet's are (Zamir et al. 2021, arXiv
    2102.02808, equation 3); ``attention`` is compared with `attention_target`; anything else (the latent code of an
    autoencoder) is handed to its loss without a target. A reference without it has one restoration: its prior.

    Args:
        reference: config of the network.
        losses: configs of losses, each with an optional ``weight`` and the output that it is taken ``of``, by default
            the restorations.
        **record: ``bands``, ``in_bands``, ``value_range`` and ``band_names``, as ``CloudRemover``.
    """

    parts: tuple[str, ...] = ("reference",)

    def __init__(self, reference: dict, losses: Sequence[dict] = (dict(type="L1"),), **record: Any) -> None:
        super().__init__(**record)
        self.reference = REFERENCES.build(reference, bands=self.bands, in_bands=self.in_bands)
        self.loss_weights = [loss.get("weight", 1.0) for loss in losses]
        self.loss_of = [loss.get("of", "restorations") for loss in losses]
        self.loss_terms = nn.ModuleList(build_loss(loss) for loss in losses)
        self.train_only([])

    def predict(
        self, cloudy: torch.Tensor, noise: torch.Tensor | None = None, *, name: list[str] | None = None
    ) -> torch.Tensor:
        """Return the clear image; ``noise`` is not used. Shapes: (B, in_bands, H, W) -> (B, bands, H, W)."""
        return self.prior(cloudy, name).float()

    def losses(self, cloudy: torch.Tensor, clear: torch.Tensor, name: list[str]) -> dict[str, torch.Tensor]:
        """Return each loss, summed over the restorations."""
        return self._losses_of(self.training_outputs(cloudy, clear), cloudy, clear)

    def training_outputs(self, cloudy: torch.Tensor, clear: torch.Tensor) -> dict[str, Any]:
        """Return what the reference offers to its losses."""
        own = getattr(self.reference, "training_outputs", None)
        return dict(restorations=[self.reference(cloudy)]) if own is None else own(cloudy, clear)

    def _losses_of(self, outputs: dict[str, Any], cloudy: torch.Tensor, clear: torch.Tensor) -> dict[str, torch.Tensor]:
        losses = {}
        for index, (term, weight, of) in enumerate(zip(self.loss_terms, self.loss_weights, self.loss_of, strict=True)):
            if of not in outputs:
                raise UserError(
                    f"{type(self.reference).__name__} has no output {of!r} for the loss {type(term).__name__}: it has "
                    f"{', '.join(outputs)}"
                )
            if of == "restorations":
                value = sum(term(output.float(), clear) for output in outputs[of])
            else:
                value = term(outputs[of], attention_target(cloudy, clear) if of == "attention" else None)
            losses[f"loss_{index}_{type(term).__name__.lower()}"] = weight * value
        return losses


def build_loss(config: dict[str, Any]) -> nn.Module:
    """Build a loss of a stage, whose config says its ``weight`` and what it is ``of`` beside its own arguments."""
    return LOSSES.build({key: value for key, value in config.items() if key not in ("weight", "of")})


def attention_target(cloudy: torch.Tensor, clear: torch.Tensor) -> torch.Tensor:
    """Return clear minus cloudy in units of 8 bits, summed over bands, from 0 to 1.

    This is the attention target of SpA-GAN (Pan 2020, arXiv 2009.13015) and AMGAN-CR. As in the authors' code the
    difference is signed, so the target is no map of cloud: it is 0 where a cloud brightens, and 1 where its shadow
    darkens.

    Shapes: (B, in_bands, H, W), (B, bands, H, W) -> (B, 1, H, W).
    """
    difference = (clear - cloudy[:, : clear.shape[1]]) * 127.5
    return difference.sum(1, keepdim=True).clamp(0, 1)
