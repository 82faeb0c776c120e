"""What is done with a scene, pass by pass: each pass computes every window, blends them, and steps the blend.

Joint sampling makes one pass of each step of the diffusion, so that all windows are denoised from one shared noisy
scene (as in MultiDiffusion, Bar-Tal et al. 2023, arXiv 2302.08113, equation 5, and Jimenez 2023, arXiv 2302.02412).
Otherwise one pass predicts every window by itself.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from declouds.errors import UserError

BLENDS = ("joint", "final")


@dataclass(frozen=True)
class Noise:
    """The field of noise number ``stream``, in place of a raster's name."""

    stream: int


Input = str | Noise


@dataclass(frozen=True)
class Pass:
    """One pass over a scene.

    Args:
        title: what progress calls it.
        output: name of the raster that it writes.
        channels: bands of that raster.
        compute: ``(cloudy, *inputs) -> (B, channels, h, w)``: windows of the scene, and of ``inputs``, as tensors.
        inputs: rasters whose windows ``compute`` is given.
        step: ``(blended, *step_inputs) -> array``: what becomes of finished rows of the blend; nothing if None.
        step_inputs: rasters whose rows ``step`` is given.
    """

    title: str
    output: str
    channels: int
    compute: Callable[..., torch.Tensor]
    inputs: tuple[Input, ...] = ()
    step: Callable[..., np.ndarray] | None = None
    step_inputs: tuple[Input, ...] = ()


def clear_name(sample: int) -> str:
    """Return the name of the raster with the result of a sample: the bands, then the weight if it was asked for."""
    return f"clear{sample}"


def passes_of(model: Any, blend: str = "joint", samples: int = 1, weight: bool = False) -> list[Pass]:
    """Return the passes that clear a scene with a model.

    Args:
        model: a model whose parts are on one device, in evaluation mode.
        blend: ``joint`` or ``final``.
        samples: how often the scene is cleared, each time from other noise.
        weight: add a band with the weight of the prior in the last step, its mean over the bands, if the model fuses.

    Raises:
        UserError: the model's sampler cannot be stepped from outside, or its prior goes by the names of images.
    """
    if getattr(model, "needs_names", False):
        raise UserError("this model's prior goes by the names of images, so it serves no scenes: use another reference")
    fuses = getattr(model, "fusion", None) is not None
    weight = weight and fuses
    diffuses = hasattr(model, "sampler")
    if samples > 1 and not diffuses:
        raise UserError("this model draws nothing, so all samples are equal: leave --samples out")
    if not diffuses or blend == "final":
        return [_whole(model, sample, weight) for sample in range(samples)]
    if not hasattr(model.sampler, "step"):
        raise UserError(
            f"{type(model.sampler).__name__} cannot be sampled jointly, since it is no StepwiseSampler (Pyramid "
            "changes the size between steps): use --blend final, or a model with DDIM"
        )
    priors = [_prior(model)] if fuses else []
    schedule = copy.deepcopy(model.noise_schedule).cpu()  # rows of a scene are stepped there
    return priors + [step for sample in range(samples) for step in _steps(model, schedule, sample, samples, weight)]


def noise_of(sample: int, step: int = 0) -> Noise:
    """Return the field from which a sample starts, or that which one of its steps draws."""
    return Noise((sample << 32) + step)


def _whole(model: Any, sample: int, weight: bool) -> Pass:
    """Return the pass that predicts each window by itself."""

    def compute(cloudy: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        steps: list[dict[str, torch.Tensor]] = []
        options = dict(record=lambda step: steps.append(step) if step["t"][0] == 0 else None) if weight else {}
        clear = model.predict(cloudy, noise, **options)
        return _with_weight(clear, steps[-1]) if weight else clear

    title = "windows" if sample == 0 else f"windows, sample {sample + 1}"
    return Pass(title, clear_name(sample), model.bands + weight, compute, (noise_of(sample),))


def _prior(model: Any) -> Pass:
    return Pass("prior", "prior", model.bands, lambda cloudy: model.prior(cloudy))


def _steps(model: Any, schedule: Any, sample: int, samples: int, weight: bool) -> list[Pass]:
    """Return one pass for each step of the sampler; the state goes to and fro between two rasters."""
    sampler = model.sampler
    times = sampler.times(schedule)
    priors = ("prior",) if model.fusion is not None else ()
    of = f" of sample {sample + 1}" if samples > 1 else ""
    x_t: Input = noise_of(sample)
    passes = []
    for number, (now, after) in enumerate(pairwise(times)):
        state = ("even", "odd")[number % 2]
        noises = (noise_of(sample, number + 1),) if sampler.draws_noise else ()
        step = _step(sampler, schedule, now, after)
        title = f"step {number + 1}/{len(times)}{of}"
        compute = _estimate(model, now, weight=False)
        passes.append(Pass(title, state, model.bands, compute, (x_t, *priors), step, (x_t, *noises)))
        x_t = state
    title, compute = f"step {len(times)}/{len(times)}{of}", _estimate(model, times[-1], weight)
    return [*passes, Pass(title, clear_name(sample), model.bands + weight, compute, (x_t, *priors))]


def _estimate(model: Any, now: int, weight: bool) -> Callable[..., torch.Tensor]:
    """Return what computes the fused estimate of windows at time ``now``."""

    def compute(cloudy: torch.Tensor, x_t: torch.Tensor, prior: torch.Tensor | None = None) -> torch.Tensor:
        step = model.estimate(x_t, torch.full((len(x_t),), now, device=x_t.device), cloudy, prior)
        return _with_weight(step["fused"], step) if weight else step["fused"]

    return compute


def _step(sampler: Any, schedule: Any, now: int, after: int) -> Callable[..., np.ndarray]:
    """Return what takes rows of x from time ``now`` to time ``after``, given their blended estimate."""

    def step(clear: np.ndarray, x_t: np.ndarray, noise: np.ndarray | None = None) -> np.ndarray:
        t = torch.tensor([now])
        tensors = [None if image is None else torch.from_numpy(image)[None] for image in (clear, x_t, noise)]
        stepped = sampler.step(tensors[0], tensors[1], t, torch.full_like(t, after), schedule, tensors[2])
        return stepped[0].numpy()

    return step


def _with_weight(clear: torch.Tensor, step: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.cat([clear.float(), step["weight"].float().mean(1, keepdim=True)], 1)
