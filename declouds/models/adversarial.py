"""A reference network trained with a discriminator."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from mmengine.dist import all_reduce_params
from torch import nn

from declouds.models.cloud_remover import only_valid, sum_of
from declouds.models.one_pass import OnePass, build_loss
from declouds.registry import DISCRIMINATORS, MODELS

if TYPE_CHECKING:
    from mmengine.optim import OptimWrapper, OptimWrapperDict


@MODELS.register_module()
class Adversarial(OnePass):
    """One-pass network trained with reconstruction and adversarial losses (Goodfellow et al. 2014).

    Each iteration updates the discriminator and then the reference, on the same restoration.

    Args:
        reference: config of the network.
        discriminator: config of the discriminator, called ``(cloudy, image) -> logits``.
        adversarial_loss: config of the loss of logits against 1 (real) or 0 (restored), with an optional ``weight`` of
            the reference's adversarial term.
        gradient_penalty: weight of ``(|gradient| - 1)^2`` between real and restored images (WGAN-GP, Gulrajani et al.
            2017, arXiv 1704.00028, equation 3); 0 disables it.
        **one_pass: other arguments of ``OnePass``.
    """

    parts: ClassVar[tuple[str, ...]] = ("reference", "discriminator")
    fine_tuning: ClassVar[Mapping[str, float]] = {}  # it is a stage of another model
    separate_optimizers: ClassVar[bool] = True
    averages_gradients: ClassVar[bool] = True

    def __init__(
        self,
        reference: dict,
        discriminator: dict,
        adversarial_loss: dict,
        gradient_penalty: float = 0.0,
        **one_pass: Any,
    ) -> None:
        super().__init__(reference, **one_pass)
        sizes = dict(bands=self.bands, in_bands=self.in_bands, inputs=self.inputs)
        self.discriminator = DISCRIMINATORS.build(discriminator, **sizes)
        self.adversarial_loss = build_loss(adversarial_loss)
        self.adversarial_weight = adversarial_loss.get("weight", 1.0)
        self.gradient_penalty = gradient_penalty
        self.train_only([])

    def train_step(self, data: dict[str, Any], optim_wrapper: "OptimWrapperDict") -> dict[str, torch.Tensor]:
        """Update the discriminator and the reference once each, and return their losses."""
        data = self.data_preprocessor(data, True)
        cloudy, clear = data["cloudy"], data["clear"]
        with optim_wrapper["reference"].optim_context(self):
            outputs = self.training_outputs(cloudy, clear)
        valid = data.get("valid")
        restored = only_valid(outputs["restorations"][0].float(), clear, valid)

        with optim_wrapper["discriminator"].optim_context(self):
            terms = self._discriminator_losses(cloudy, clear, restored.detach())
        _step(optim_wrapper["discriminator"], sum_of(terms), self.discriminator)

        self.discriminator.requires_grad_(False)
        with optim_wrapper["reference"].optim_context(self):
            own = self._losses_of(outputs, cloudy, clear, valid)
            own["loss_adversarial"] = self.adversarial_weight * self._judge(cloudy, restored, real=True)
        _step(optim_wrapper["reference"], sum_of(own), self.reference)
        self.discriminator.requires_grad_(True)
        losses = {"loss": sum_of(own), **own, **terms}
        return {key: value.detach() for key, value in losses.items()}

    def _discriminator_losses(
        self, cloudy: torch.Tensor, clear: torch.Tensor, restored: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        terms = dict(
            loss_real=self._judge(cloudy, clear, real=True), loss_restored=self._judge(cloudy, restored, real=False)
        )
        if self.gradient_penalty:
            terms["loss_penalty"] = self.gradient_penalty * self._penalty(cloudy, clear, restored)
        return terms

    def _judge(self, cloudy: torch.Tensor, image: torch.Tensor, real: bool) -> torch.Tensor:
        """Return the loss of classifying ``image`` as real or as restored."""
        logits = self.discriminator(cloudy, image).float()
        return self.adversarial_loss(logits, torch.full_like(logits, float(real)))

    def _penalty(self, cloudy: torch.Tensor, clear: torch.Tensor, restored: torch.Tensor) -> torch.Tensor:
        """Return the gradient penalty, in float32: a squared gradient loses too much precision in half."""
        with torch.autocast(clear.device.type, enabled=False):
            mixing = torch.rand(len(clear), 1, 1, 1, device=clear.device)
            between = (mixing * clear + (1 - mixing) * restored).requires_grad_(True)
            logits = self.discriminator(cloudy, between)
            (gradient,) = torch.autograd.grad(logits.mean((1, 2, 3)).sum(), between, create_graph=True)
            return ((gradient.flatten(1).norm(dim=1) - 1) ** 2).mean()


def _step(optim_wrapper: "OptimWrapper", loss: torch.Tensor, network: nn.Module) -> None:
    """Take one optimisation step of ``network``, with gradients averaged over all processes."""
    optim_wrapper.zero_grad()
    optim_wrapper.backward(loss)
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    all_reduce_params(gradients, op="mean")
    optim_wrapper.step()
