"""Diffusion Enhancement on one page (Sui et al., TGRS 2024, arXiv 2401.15105)."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.registry import MODELS

from declouds.errors import UserError
from declouds.models.cloud_remover import CloudRemover
from declouds.models.degraded_prior import DegradedPrior
from declouds.registry import DENOISERS, FUSIONS, NOISE_SCHEDULES, REFERENCES, SAMPLERS


@MODELS.register_module()
class DiffusionEnhancement(CloudRemover):
    """Conditional diffusion whose every estimate is fused with the prior of a one-pass network.

    A denoiser restores texture step by step, a frozen reference gives a visual prior once per image, and a fusion
    weighs the two per pixel and band at every step. Without reference and fusion it is plain conditional diffusion.

    Args:
        denoiser: config of the conditional noise predictor.
        noise_schedule: config of the noise schedule.
        sampler: config of the sampler.
        reference: config of the reference network, or None.
        fusion: config of the fusion, or None.
        eta: least weight of the prior when sampling (section III-C).
        degrade_prior: arguments of `DegradedPrior`, for experiments with worse priors; None leaves the prior as it is.
        **record: ``bands``, ``in_bands``, ``value_range`` and ``band_names``, as ``CloudRemover``.

    Raises:
        UserError: a fusion without a reference.
    """

    parts = ("reference", "denoiser", "fusion")

    def __init__(
        self,
        denoiser: dict,
        noise_schedule: dict,
        sampler: dict,
        reference: dict | None = None,
        fusion: dict | None = None,
        eta: float = 0.3,
        degrade_prior: dict | None = None,
        **record: Any,
    ) -> None:
        super().__init__(**record)
        if fusion is not None and reference is None:
            raise UserError("a fusion needs a prior to fuse: give the model a reference, or fusion=None")
        sizes = dict(bands=self.bands, in_bands=self.in_bands)  # parts that know bands are told them here
        self.denoiser = DENOISERS.build(denoiser, **sizes)
        self.noise_schedule = NOISE_SCHEDULES.build(noise_schedule)
        self.sampler = SAMPLERS.build(sampler)
        self.reference = None if reference is None else REFERENCES.build(reference, **sizes)
        self.fusion = None if fusion is None else FUSIONS.build(fusion, **sizes)
        self.eta = eta
        self.degrade_prior = None if degrade_prior is None else DegradedPrior(**degrade_prior)
        self.train_only([])

    def prior(self, cloudy: torch.Tensor, name: list[str] | None = None) -> torch.Tensor:
        """Return the reference's picture of the clear image; see `CloudRemover.prior`."""
        prior = super().prior(cloudy, name)
        return prior if self.degrade_prior is None else self.degrade_prior(prior)

    def clear_hat(
        self, prediction: torch.Tensor, x_t: torch.Tensor, t: torch.Tensor, cloudy: torch.Tensor
    ) -> torch.Tensor:
        """Return the clear image implied by the denoiser's ``prediction``, clamped to [-1, 1] (equation 7)."""
        implied = self.noise_schedule.clear_from(prediction, x_t, t, self.denoiser.predicts, cloudy)
        return implied.clamp(-1, 1)

    def predict(
        self,
        cloudy: torch.Tensor,
        noise: torch.Tensor,
        *,
        name: list[str] | None = None,
        fuse: bool = True,
        record: Callable[[dict[str, torch.Tensor]], None] | None = None,
    ) -> torch.Tensor:
        """Remove the clouds: sample from the start ``noise``, fusing the prior at every step (algorithm 2).

        Args:
            cloudy: the cloudy images.
            noise: standard normal start noise.
            name: names of the images, for references that look their prior up.
            fuse: False leaves the prior out: the diffusion alone.
            record: is given the tensors of every step (x_t, t, clear_hat, weight, fused).

        Shapes: cloudy (B, in_bands, H, W), noise (B, bands, H, W) -> (B, bands, H, W), any H and W.
        Units: [-1, 1].
        """
        full_prior = self.prior(cloudy, name) if fuse and self.fusion is not None else None

        def denoise(x_t: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            prior = None if full_prior is None else _resize_like(full_prior, x_t)
            step = self.estimate(x_t, t, _resize_like(cloudy, x_t), prior)
            if record is not None:
                record(step)
            return step["fused"]

        with torch.no_grad():
            return self.sampler(denoise, noise, self.noise_schedule)

    def estimate(
        self, x_t: torch.Tensor, t: torch.Tensor, cloudy: torch.Tensor, prior: torch.Tensor | None
    ) -> dict[str, torch.Tensor]:
        """Return what one step knows of the clear image: the denoiser's estimate, and its fusion with the prior.

        Returns:
            ``x_t``, ``t``, ``clear_hat`` and ``fused``; with a prior also ``prior`` and its ``weight`` in [eta, 1].

        Shapes: (B, C, H, W), all of one size.
        """
        clear_hat = self.clear_hat(self.denoiser(x_t, t, cloudy).float(), x_t, t, cloudy)
        step = dict(x_t=x_t, t=t, clear_hat=clear_hat, fused=clear_hat)
        if prior is not None:
            assert self.fusion is not None
            weight = self.fusion(clear_hat, prior, x_t, t, cloudy).float().clamp(self.eta, 1)
            step |= dict(prior=prior, weight=weight, fused=weight * prior + (1 - weight) * clear_hat)
        return step

    def losses_per_image(
        self,
        clear: torch.Tensor,
        cloudy: torch.Tensor,
        noise: torch.Tensor,
        t: torch.Tensor,
        *,
        name: list[str] | None = None,
        fuse: bool = True,
    ) -> dict[str, torch.Tensor]:
        """Return ``denoise`` (equation 8) and, with ``fuse``, ``fuse`` (equation 12), each of shape (B,).

        The fused image carries a gradient to the fusion alone, so the L1 trains the fusion and the MSE the denoiser.
        """
        x_t = self.noise_schedule.add_noise(clear, noise, t, cloudy)
        with torch.set_grad_enabled(torch.is_grad_enabled() and "denoiser" in self.trained):
            prediction = self.denoiser(x_t, t, cloudy).float()
        terms = dict(denoise=F.mse_loss(prediction, self._target(clear, noise, t), reduction="none").mean((1, 2, 3)))
        if fuse and self.fusion is not None:
            clear_hat = self.clear_hat(prediction, x_t, t, cloudy).detach()
            prior = self.prior(cloudy, name)
            weight = self.fusion(clear_hat, prior, x_t, t, cloudy).float()
            terms["fuse"] = (clear - weight * prior - (1 - weight) * clear_hat).abs().mean((1, 2, 3))
        return terms

    def losses(self, cloudy: torch.Tensor, clear: torch.Tensor, name: list[str]) -> dict[str, torch.Tensor]:
        """Draw times and noise, and return the losses of the parts that are being trained."""
        t = torch.randint(self.noise_schedule.num_steps, (len(clear),), device=clear.device)
        terms = self.losses_per_image(
            clear, cloudy, torch.randn_like(clear), t, name=name, fuse="fusion" in self.trained
        )
        if "denoiser" not in self.trained:
            del terms["denoise"]
        return {f"loss_{term}": value.mean() for term, value in terms.items()}

    def _target(self, clear: torch.Tensor, noise: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        if self.denoiser.predicts == "noise":
            return noise
        if self.denoiser.predicts == "velocity":
            alpha, sigma = self.noise_schedule.alpha_sigma(t)
            return alpha * noise - sigma * clear
        return clear


def _resize_like(image: torch.Tensor, x_t: torch.Tensor) -> torch.Tensor:
    """Bring a condition to the size at which a sampler works; at full size it is returned as it is."""
    if image.shape[-2:] == x_t.shape[-2:]:
        return image
    return F.interpolate(image, size=x_t.shape[-2:], mode="bicubic", antialias=True).clamp(-1, 1)
