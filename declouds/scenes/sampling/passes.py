"""How an image of any size is cleared, pass by pass: each pass computes every window, blends them, and steps the blend.

Joint sampling makes one pass of each step of the diffusion, so that all windows are denoised from one shared noisy
image (as in MultiDiffusion, Bar-Tal et al. 2023, arXiv 2302.08113, equation 5, and Jimenez 2023, arXiv 2302.02412).
Otherwise one pass predicts every window by itself.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from declouds.errors import UserError
from declouds.samplers.stepwise import Past


@dataclass(frozen=True)
class Noise:
    """The field of noise number ``stream``, in place of a raster's name."""

    stream: int


Input = str | Noise | Literal["cloudy"]  # the name of a raster; "cloudy" is the image itself, in model units


@dataclass(frozen=True)
class Pass:
    """One pass over an image.

    Args:
        title: what progress calls it.
        output: name of the raster that it writes.
        channels: bands that ``compute`` gives.
        compute: ``(cloudy, *inputs) -> (B, channels, h, w)``: windows of the image, and of ``inputs``, as tensors.
        inputs: rasters whose windows ``compute`` is given.
        step: ``(blended, *step_inputs) -> tensor``: what becomes of finished rows of the blend, (channels, rows,
            columns) on the CPU or the model's device; nothing if None.
        step_inputs: rasters whose rows ``step`` is given.
        stored: bands of the raster, where ``step`` makes more of them than ``compute`` gives.
    """

    title: str
    output: str
    channels: int
    compute: Callable[..., torch.Tensor]
    inputs: tuple[Input, ...] = ()
    step: Callable[..., torch.Tensor] | None = None
    step_inputs: tuple[Input, ...] = ()
    stored: int | None = None

    @property
    def output_bands(self) -> int:
        """Bands of the raster that it writes."""
        return self.channels if self.stored is None else self.stored


def clear_name(sample: int) -> str:
    """Return the name of the raster with the result of a sample: the bands, then the quality band if requested."""
    return f"clear{sample}"


def noise_of(sample: int, step: int = 0) -> Noise:
    """Return the field from which a sample starts, or that which one of its steps draws."""
    return Noise((sample << 32) + step)


def whole_passes(
    predict: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], bands: int, samples: int = 1, extra: int = 0
) -> list[Pass]:
    """Return one pass a sample, in which each window is predicted by itself.

    Args:
        predict: ``(cloudy, noise) -> (B, bands + extra, h, w)``.
        bands: bands of the image.
        samples: how often the image is cleared, each time from other noise.
        extra: further bands that ``predict`` gives.
    """
    titles = ["windows", *(f"windows, sample {sample + 1}" for sample in range(1, samples))]
    return [
        Pass(title, clear_name(sample), bands + extra, predict, (noise_of(sample),))
        for sample, title in enumerate(titles)
    ]


def sampling_passes(
    denoise: Callable[..., torch.Tensor],
    sampler: Any,
    schedule: Any,
    bands: int,
    conditions: Sequence[Pass] = (),
    samples: int = 1,
    extra: int = 0,
) -> list[Pass]:
    """Return one pass for each step of a sampler: the windows are blended at every step.

    Args:
        denoise: ``(x_t, t, process, cloudy, *conditions, last) -> clear``, t (B,); with ``extra`` bands if ``last``.
        sampler: a `StepwiseSampler`.
        schedule: the diffusion process, which is bound to its condition here.
        bands: bands of the image.
        conditions: passes that come first, once; their results are handed to ``denoise``. If the process is bound to
            the prior, one of them is called ``prior``.
        samples: how often the image is cleared, each time from other noise.
        extra: bands that ``denoise`` adds in the last step.

    Raises:
        UserError: the sampler cannot be stepped from outside.
    """
    if not hasattr(sampler, "step"):
        raise UserError(
            f"{type(sampler).__name__} cannot be sampled jointly, since it is not a StepwiseSampler (Pyramid changes "
            "the size between steps): use --blend final, or a model with DDIM"
        )
    steps = [
        step
        for sample in range(samples)
        for step in _Steps(denoise, sampler, schedule, bands, conditions, sample, samples, extra).passes()
    ]
    return [*conditions, *steps]


class _Steps:
    """The passes of one sample; the state (x_t, then earlier estimates) goes to and fro between two rasters."""

    def __init__(
        self,
        denoise: Callable[..., torch.Tensor],
        sampler: Any,
        schedule: Any,
        bands: int,
        conditions: Sequence[Pass],
        sample: int,
        samples: int,
        extra: int,
    ) -> None:
        self.denoise, self.sampler, self.schedule, self.bands = denoise, sampler, schedule, bands
        self.on_cpu = copy.deepcopy(schedule).cpu()  # rows of an image that a GPU does not hold are stepped there
        self.conditions = tuple(condition.output for condition in conditions)
        self.sample, self.extra = sample, extra
        self.of = f" of sample {sample + 1}" if samples > 1 else ""

    def passes(self) -> list[Pass]:
        """Return the passes, the last of which writes the result."""
        times, sampler = self.sampler.times(self.schedule), self.sampler
        stored = self.bands * (1 + sampler.history)
        state: Input = noise_of(self.sample)
        passes = []
        for number, now in enumerate(times[:-1]):
            output = ("even", "odd")[number % 2]
            noises = (noise_of(self.sample, number + 1),) if sampler.draws_noise else ()
            title = f"step {number + 1}/{len(times)}{self.of}"
            compute, step = self._compute(now, number == 0, last=False), self._step(number, times)
            inputs, rows = (state, *self.conditions), (state, *self.schedule.condition, *noises)
            passes.append(Pass(title, output, self.bands, compute, inputs, step, rows, stored))
            state = output
        title = f"step {len(times)}/{len(times)}{self.of}"
        compute = self._compute(times[-1], len(times) == 1, last=True)
        last = Pass(title, clear_name(self.sample), self.bands + self.extra, compute, (state, *self.conditions))
        return [*passes, last]

    def _compute(self, now: float, first: bool, last: bool) -> Callable[..., torch.Tensor]:
        """Return what computes the estimate of windows at time ``now``."""

        def compute(cloudy: torch.Tensor, state: torch.Tensor, *conditions: torch.Tensor) -> torch.Tensor:
            prior = dict(zip(self.conditions, conditions, strict=True)).get("prior")
            process = self.schedule.bind(cloudy[:, : self.bands], prior)
            x_t = process.start(state) if first else state[:, : self.bands]
            t = torch.full((len(x_t),), now, device=x_t.device)
            return self.denoise(x_t, t, process, cloudy, *conditions, last=last)

        return compute

    def _step(self, number: int, times: Sequence[float]) -> Callable[..., torch.Tensor]:
        """Return what takes rows of the state from one time to the next, given their blended estimate."""
        condition, sampler, bands = self.schedule.condition, self.sampler, self.bands

        def step(blended: torch.Tensor, *rows: torch.Tensor) -> torch.Tensor:
            clear, state, *others = (image[None] for image in (blended, *rows))
            bound = dict(zip(condition, others, strict=False))
            process = self.on_cpu if blended.device.type == "cpu" else self.schedule
            if condition:
                process = process.bind(bound.get("cloudy", clear)[:, :bands], bound.get("prior"))
            x_t = process.start(state) if number == 0 else state[:, :bands]
            t, after = torch.tensor(times[number : number + 2], device=clear.device).split(1)
            earlier = state[:, bands:].split(bands, 1)[: min(number, sampler.history)] if sampler.history else ()
            history = [
                Past(estimate, torch.full_like(t, times[number - 1 - index])) for index, estimate in enumerate(earlier)
            ]
            noise = others[-1] if sampler.draws_noise else None
            x_after = sampler.step(clear, x_t, t, after, process, noise, history)
            if sampler.history:
                kept = [x_after, clear, *earlier][: 1 + sampler.history]
                kept += [torch.zeros_like(clear)] * (1 + sampler.history - len(kept))
                x_after = torch.cat(kept, 1)
            return x_after[0]

        return step
