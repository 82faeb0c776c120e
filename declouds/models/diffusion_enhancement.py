"""Diffusion Enhancement (Sui et al., TGRS 2024, arXiv 2401.15105)."""

from collections.abc import Collection, Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F

from declouds.errors import UserError
from declouds.models.cloud_remover import CloudRemover, Record, only_valid
from declouds.models.degraded_prior import DegradedPrior
from declouds.models.one_pass import OnePass, training_of_reference
from declouds.noise_schedules.process import Process
from declouds.registry import DENOISERS, DIFFUSION_LOSSES, FUSIONS, MODELS, NOISE_SCHEDULES, REFERENCES, SAMPLERS
from declouds.scenes.sampling.passes import Pass, sampling_passes, whole_passes


@MODELS.register_module()
class DiffusionEnhancement(CloudRemover):
    """Conditional diffusion fused with the prior of a one-pass network at every step.

    A denoiser restores texture step by step, a frozen reference gives a visual prior once per image, and a fusion
    weights the two per pixel and band at every step. Without reference and fusion it is plain conditional diffusion.

    The process may also end in the cloudy image or in the prior (see `Bridge`), with a fusion or without one.

    Args:
        denoiser: config of the conditional denoiser.
        noise_schedule: config of the diffusion process.
        sampler: config of the sampler.
        reference: config of the reference network, or None.
        fusion: config of the fusion, or None.
        eta: minimum weight of the prior when sampling (section III-C).
        diffusion_loss: config of the denoiser's loss; `UniformLoss` if None.
        degrade_prior: arguments of `DegradedPrior`, for experiments with degraded priors; None disables it.
        **record: ``bands``, ``in_bands``, ``value_range``, ``band_names`` and ``inputs``, as ``CloudRemover``.

    Raises:
        UserError: a fusion, a denoiser or a process that needs a prior without a reference; a denoiser that cannot
            start from the reference; a fusion with too few steps; a prediction that has no meaning for the process; or
            ``eta`` outside [0, 1].
    """

    parts: ClassVar[tuple[str, ...]] = ("reference", "denoiser", "fusion")
    needs: ClassVar[Mapping[str, tuple[str, ...]]] = dict(reference=(), denoiser=(), fusion=("reference", "denoiser"))
    learned_with: ClassVar[Mapping[str, tuple[str, ...]]] = dict(denoiser=("denoiser", "noise_schedule"))
    sampling_entries: ClassVar[frozenset[str]] = frozenset(("eta", "sampler"))
    stage_entries: ClassVar[tuple[str, ...]] = OnePass.stage_entries
    fine_tuning: ClassVar[Mapping[str, float]] = dict(reference=0.6, denoiser=0.3, fusion=0.1)
    recorded: ClassVar[Mapping[str, str]] = dict(
        x_t="image", clear_hat="image", prior="image", weight="map", fused="image"
    )
    draws_noise: ClassVar[bool] = True
    variant_names: ClassVar[tuple[str, ...]] = ("prior", "diffusion")

    def __init__(
        self,
        denoiser: dict,
        noise_schedule: dict,
        sampler: dict,
        reference: dict | None = None,
        fusion: dict | None = None,
        eta: float = 0.3,
        diffusion_loss: dict | None = None,
        degrade_prior: dict | None = None,
        **record: Any,
    ) -> None:
        super().__init__(**record)
        if fusion is not None and reference is None:
            raise UserError("a fusion needs a prior: set a reference, or fusion=None")
        if isinstance(eta, bool) or not isinstance(eta, int | float) or not 0 <= eta <= 1:
            raise UserError(f"eta must be a number from 0 to 1, got {eta!r}")
        # The registries pass these to every part whose constructor accepts them.
        sizes = dict(bands=self.bands, in_bands=self.in_bands, inputs=self.inputs)
        self.denoiser = DENOISERS.build(denoiser, **sizes)
        self.noise_schedule = NOISE_SCHEDULES.build(noise_schedule)
        if self.denoiser.predicts not in self.noise_schedule.predictions:
            self.noise_schedule.mix(torch.zeros(1, dtype=torch.long), self.denoiser.predicts)  # says why
        self.takes_prior = getattr(self.denoiser, "takes_prior", False)
        self.starts_from_prior = "prior" in self.noise_schedule.condition
        if reference is None and (self.takes_prior or self.starts_from_prior):
            what = "the denoiser takes" if self.takes_prior else "the process ends in"
            raise UserError(f"{what} the prior: set a reference")
        self.sampler = SAMPLERS.build(sampler)
        self.reference = None if reference is None else REFERENCES.build(reference, **sizes)
        if getattr(self.denoiser, "from_reference", False):
            self.denoiser.check_reference(self.reference)
        self.fusion = None if fusion is None else FUSIONS.build(fusion, **sizes)
        most, steps = getattr(self.fusion, "max_steps", None), self.noise_schedule.num_steps
        if most is not None and most < steps:
            raise UserError(f"the fusion has {most} steps, the noise schedule {steps}: set its num_steps={steps}")
        self.eta = eta
        self.diffusion_loss = DIFFUSION_LOSSES.build(diffusion_loss or dict(type="UniformLoss"))
        self.degrade_prior = None if degrade_prior is None else DegradedPrior(**degrade_prior)
        self.quality_band = None if fusion is None else "weight of the prior"
        self.train_only([])

    # Training

    @classmethod
    def training_config(cls, config: dict[str, Any], train: Collection[str], options: dict[str, Any]) -> dict[str, Any]:
        """Return the config for a stage: the reference's own, the diffusion only, or all parts to train a fusion."""
        if list(train) == ["reference"] and config.get("reference") is not None:
            return training_of_reference(config, options)
        if "reference" in train:
            raise UserError("a reference is trained on its own: set train=['reference']")
        if options:
            raise UserError(
                f"{', '.join(options)}: only for a stage that trains the reference, with train=['reference']"
            )
        chosen = super().training_config(config, train, options)
        if config.get("reference") is not None and "denoiser" in train:
            ends_in_prior = "prior" in NOISE_SCHEDULES.build(config["noise_schedule"]).condition
            if ends_in_prior or any(config["denoiser"].get(entry) for entry in ("takes_prior", "from_reference")):
                chosen = {**chosen, "reference": config["reference"]}
        return chosen if "fusion" in train else {**chosen, "degrade_prior": None}

    def begin(self, parts: Collection[str]) -> None:
        """Let a denoiser ``from_reference`` start from the weights of the reference."""
        if "denoiser" in parts and getattr(self.denoiser, "from_reference", False):
            self.denoiser.start_from(self.reference)

    def losses_per_image(
        self,
        clear: torch.Tensor,
        cloudy: torch.Tensor,
        noise: torch.Tensor,
        t: torch.Tensor,
        *,
        name: list[str] | None = None,
        fuse: bool = True,
        valid: torch.Tensor | None = None,
    ) -> dict[str, torch.Tensor]:
        """Return ``denoise`` (equation 8) and, with ``fuse``, ``fuse`` (equation 12), each of shape (B,).

        The fused image passes gradients to the fusion only, so the L1 trains the fusion and the MSE the denoiser.
        """
        with_prior = fuse and self.fusion is not None
        prior = self.prior(cloudy, name) if with_prior or self._diffusion_needs_prior else None
        process, predicts = self._bind(cloudy, prior), self.denoiser.predicts
        x_t = process.add_noise(clear, noise, t)
        with torch.set_grad_enabled(torch.is_grad_enabled() and "denoiser" in self.trained):
            prediction = self._denoise(x_t, t, cloudy, prior, process)
        target = process.target(clear, noise, t, predicts)
        terms = dict(denoise=self.diffusion_loss(only_valid(prediction, target, valid), target, t, process, predicts))
        if with_prior:
            assert self.fusion is not None
            assert prior is not None
            clear_hat = process.clear_from(prediction, x_t, t, predicts).clamp(-1, 1).detach()
            weight = self.fusion(clear_hat, prior, x_t, t, cloudy).float()
            fused = only_valid(weight * prior + (1 - weight) * clear_hat, clear, valid)
            terms["fuse"] = (clear - fused).abs().mean((1, 2, 3))
        return terms

    def draw(self, clear: torch.Tensor) -> dict[str, torch.Tensor]:
        """Draw the timesteps ``t`` and the ``noise``."""
        t = self.diffusion_loss.draw_times(len(clear), self.noise_schedule, clear.device)
        return dict(t=t, noise=torch.randn_like(clear))

    def losses(
        self,
        cloudy: torch.Tensor,
        clear: torch.Tensor,
        name: list[str],
        valid: torch.Tensor | None = None,
        **drawn: torch.Tensor,
    ) -> dict[str, torch.Tensor]:
        """Return the losses of the trained parts, with the timesteps and noise of `draw`, or else new ones."""
        drawn = drawn or self.draw(clear)
        terms = self.losses_per_image(
            clear, cloudy, drawn["noise"], drawn["t"], name=name, fuse="fusion" in self.trained, valid=valid
        )
        if "denoiser" not in self.trained:
            del terms["denoise"]
        return {f"loss_{term}": value.mean() for term, value in terms.items()}

    # Use

    def _fuses(self, variant: str | None = None) -> bool:
        return self.fusion is not None and variant is None

    @property
    def _diffusion_needs_prior(self) -> bool:
        return self.takes_prior or self.starts_from_prior

    def _bind(self, cloudy: torch.Tensor, prior: torch.Tensor | None) -> Process:
        return self.noise_schedule.bind(cloudy[:, : self.bands], prior)

    def _denoise(
        self, x_t: torch.Tensor, t: torch.Tensor, cloudy: torch.Tensor, prior: torch.Tensor | None, process: Process
    ) -> torch.Tensor:
        """Return the denoiser's prediction."""
        x_in, time = process.network_input(x_t, t, self.denoiser.predicts)
        return self.denoiser(x_in, time, cloudy, *([prior] if self.takes_prior else [])).float()

    @property
    def method(self) -> str:
        """``DE`` if a prior is fused, else ``result``."""
        return "DE" if self._fuses() else "result"

    @property
    def variants(self) -> tuple[str, ...]:
        """The prior alone, of a model that uses it, and the diffusion alone, if both are fused."""
        if self._fuses():
            return self.variant_names
        return ("prior",) if self._diffusion_needs_prior else ()

    @property
    def baseline(self) -> str | None:
        """The prior, to show what the diffusion adds."""
        return "prior" if "prior" in self.variants else None

    @property
    def steps(self) -> int | None:
        """Number of sampling steps; None for a sampler with several levels."""
        if not hasattr(self.sampler, "steps"):
            return None
        return self.noise_schedule.num_steps if self.sampler.steps is None else self.sampler.steps

    def set_steps(self, steps: int) -> None:
        """See `CloudRemover.set_steps`."""
        if not hasattr(self.sampler, "steps"):
            super().set_steps(steps)
        before, self.sampler.steps = self.sampler.steps, steps
        try:
            self.sampler.times(self.noise_schedule)
        except UserError:
            self.sampler.steps = before
            raise

    def predict(
        self,
        cloudy: torch.Tensor,
        noise: torch.Tensor,
        *,
        name: list[str] | None = None,
        variant: str | None = None,
        record: Record | None = None,
    ) -> torch.Tensor:
        """Remove the clouds: sample from the start ``noise``, fusing the prior at every step (algorithm 2).

        See `CloudRemover.predict`. ``variant="prior"`` is the reference alone, ``"diffusion"`` the diffusion alone.
        """
        if variant == "prior":
            return self.prior(cloudy, name).float()
        fuses = self._fuses(variant)
        full_prior = self.prior(cloudy, name) if fuses or self._diffusion_needs_prior else None
        process = self._bind(cloudy, full_prior)

        def denoise(x_t: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            prior = None if full_prior is None else _resize_like(full_prior, x_t)
            step = self.estimate(x_t, t, _resize_like(cloudy, x_t), prior, process, fuses)
            if record is not None:
                record(step)
            return step["fused"]

        with torch.no_grad():
            return self.sampler(denoise, process, noise)

    @torch.no_grad()
    def prior(self, cloudy: torch.Tensor, name: list[str] | None = None) -> torch.Tensor:
        """Return the reference's estimate of the clear image, in [-1, 1].

        Shapes: cloudy (B, in_bands, H, W) -> (B, bands, H, W).

        Raises:
            UserError: the model has no reference.
        """
        if self.reference is None:
            raise UserError("this model has no reference, so it has no prior")
        prior = self.reference(cloudy, name) if self.needs_names else self.reference(cloudy)
        return prior if self.degrade_prior is None else self.degrade_prior(prior)

    def estimate(
        self,
        x_t: torch.Tensor,
        t: torch.Tensor,
        cloudy: torch.Tensor,
        prior: torch.Tensor | None,
        process: Process,
        fuse: bool = True,
    ) -> dict[str, torch.Tensor]:
        """Return one step's estimates of the clear image: the denoiser's, and its fusion with the prior.

        Args:
            x_t: the noisy images.
            t: timesteps.
            cloudy: the cloudy images.
            prior: the priors, or None for no fusion.
            process: the diffusion process, bound to its condition.
            fuse: fuse the prior, if there is one.

        Returns:
            ``x_t``, ``t``, ``clear_hat`` (equation 7, clamped to [-1, 1]) and ``fused``; with a prior also
            ``prior`` and its ``weight`` in [eta, 1].

        Shapes: (B, C, H, W), all the same size.
        """
        prediction = self._denoise(x_t, t, cloudy, prior, process)
        clear_hat = process.clear_from(prediction, x_t, t, self.denoiser.predicts).clamp(-1, 1)
        step = dict(x_t=x_t, t=t, clear_hat=clear_hat, fused=clear_hat)
        if fuse and prior is not None:
            assert self.fusion is not None
            weight = self.fusion(clear_hat, prior, x_t, t, cloudy).float().clamp(self.eta, 1)
            step |= dict(prior=prior, weight=weight, fused=weight * prior + (1 - weight) * clear_hat)
        return step

    def passes(
        self, *, variant: str | None = None, blend: str = "joint", samples: int = 1, quality: bool = False
    ) -> list[Pass]:
        """Return the passes that clear an image of any size; see `CloudRemover.passes`.

        Raises:
            UserError: the sampler has no single-step interface; see also `CloudRemover.passes`.
        """
        self.check_passes(samples)
        fuses = self._fuses(variant)
        extra = int(quality and fuses)
        if variant == "prior":
            return whole_passes(lambda cloudy, noise: self.prior(cloudy).float(), self.bands)
        if blend == "final":
            return whole_passes(
                lambda cloudy, noise: self._window(cloudy, noise, variant, extra), self.bands, samples, extra
            )

        def denoise(
            x_t: torch.Tensor, t: torch.Tensor, process: Process, cloudy: torch.Tensor, *prior: torch.Tensor, last: bool
        ) -> torch.Tensor:
            step = self.estimate(x_t, t, cloudy, prior[0] if prior else None, process, fuses)
            return _with_weight(step) if last and extra else step["fused"]

        needs_prior = fuses or self._diffusion_needs_prior
        priors = [Pass("prior", "prior", self.bands, lambda cloudy: self.prior(cloudy))] if needs_prior else []
        return sampling_passes(denoise, self.sampler, self.noise_schedule, self.bands, priors, samples, extra)

    def _window(self, cloudy: torch.Tensor, noise: torch.Tensor, variant: str | None, extra: int) -> torch.Tensor:
        """Return a window cleared on its own and, with ``extra``, the weight of the last step."""
        last: dict[str, torch.Tensor] = {}
        clear = self.predict(cloudy, noise, variant=variant, record=last.update if extra else None)
        return _with_weight(last) if extra else clear


def _with_weight(step: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return the result of a step, with the mean weight of its prior as an extra band."""
    return torch.cat([step["fused"].float(), step["weight"].float().mean(1, keepdim=True)], 1)


def _resize_like(image: torch.Tensor, x_t: torch.Tensor) -> torch.Tensor:
    """Downsample a condition to the size of ``x_t``; unchanged at full size."""
    if image.shape[-2:] == x_t.shape[-2:]:
        return image
    return F.interpolate(image, size=x_t.shape[-2:], mode="bicubic", antialias=True).clamp(-1, 1)
