"""Contracts of networks: denoisers, references, fusions, discriminators."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from declouds.noise_schedules.process import PREDICTIONS
from declouds.registry import DENOISERS, DISCRIMINATORS, FUSIONS, REFERENCES, PartRegistry
from declouds.testing.parts import check_description, random_images, random_noise, require

BANDS = (1, 3, 5)
SIZES = ((16, 16), (13, 18))
NAMES = ["first", "second"]  # samples of every batch, for references that look up priors by name

Call = Callable[[nn.Module, torch.Tensor, torch.Tensor, torch.Tensor], list[torch.Tensor]]


def check_denoiser(config: dict, bands: Sequence[int] = BANDS, sizes: Sequence[tuple[int, int]] = SIZES) -> None:
    """Check ``(x_t, t, cloudy) -> prediction``, with ``prior`` last if it ``takes_prior``, and ``predicts``."""
    denoiser = DENOISERS.build(config)
    require(denoiser.predicts in PREDICTIONS, f"predicts={denoiser.predicts!r} is not a parametrisation")

    def call(net: nn.Module, image: torch.Tensor, t: torch.Tensor, cloudy: torch.Tensor) -> list[torch.Tensor]:
        prior = [image.flip(-1).clamp(-1, 1)] if getattr(net, "takes_prior", False) else []
        outputs = [net(image, time, cloudy, *prior) for time in (t, t.float() + 0.5)]  # steps, or continuous time
        return outputs[:1]

    _check_network(DENOISERS, config, bands, sizes, call)


def check_reference(config: dict, bands: Sequence[int] = BANDS, sizes: Sequence[tuple[int, int]] = SIZES) -> None:
    """Check ``cloudy -> prior`` in [-1, 1], and ``training_outputs(cloudy, clear)`` if the reference has it.

    Outputs must be float32 in mixed precision too, since losses of rounded images would train on the rounding.
    """

    def call(net: nn.Module, image: torch.Tensor, t: torch.Tensor, cloudy: torch.Tensor) -> list[torch.Tensor]:
        prior = net(cloudy, NAMES[: len(cloudy)]) if getattr(net, "needs_names", False) else net(cloudy)
        require(bool((prior.abs() <= 1).all()), "the prior must be in [-1, 1]")
        own: Callable | None = getattr(net, "training_outputs", None)
        outputs = [prior] if own is None else [prior, *_training_images(own(cloudy, prior.detach()), image)]
        for output in outputs:
            require(output.dtype == torch.float32, f"a reference must return float32, not {output.dtype}: add .float()")
        return outputs

    _check_network(REFERENCES, config, bands, sizes, call)


def check_fusion(config: dict, bands: Sequence[int] = BANDS, sizes: Sequence[tuple[int, int]] = SIZES) -> None:
    """Check ``(clear_hat, prior, x_t, t, cloudy) -> weight``."""

    def call(net: nn.Module, image: torch.Tensor, t: torch.Tensor, cloudy: torch.Tensor) -> list[torch.Tensor]:
        return [net(image.clamp(-1, 1), image.flip(-1).clamp(-1, 1), image, t, cloudy)]

    _check_network(FUSIONS, config, bands, sizes, call)


def check_discriminator(config: dict, bands: Sequence[int] = BANDS, sizes: Sequence[tuple[int, int]] = SIZES) -> None:
    """Check ``(cloudy, image) -> logits``, a single band of any size."""

    def call(net: nn.Module, image: torch.Tensor, t: torch.Tensor, cloudy: torch.Tensor) -> list[torch.Tensor]:
        logits = net(cloudy, image)
        require(logits.ndim == 4 and logits.shape[1] == 1, f"logits must be (B, 1, h, w), not {tuple(logits.shape)}")
        require(bool((logits != net(cloudy, -image)).any()), "logits must depend on the image")
        return [nn.functional.interpolate(logits, size=image.shape[-2:]).expand_as(image)]

    _check_network(DISCRIMINATORS, config, bands, sizes, call)


def _training_images(outputs: dict[str, Any], image: torch.Tensor) -> list[torch.Tensor]:
    """Return all training outputs in the shape of an image, so that they are checked like images."""
    images = list(outputs["restorations"])
    if "attention" in outputs:
        attention, expected = outputs["attention"], (len(image), 1, *image.shape[2:])
        require(attention.shape == expected, f"attention must have shape {expected}, not {tuple(attention.shape)}")
        images.append(attention.expand_as(image))
    for code in outputs.get("latent", ()):
        require(
            code.ndim == 2 and len(code) == len(image),
            f"latent must be mean and log variance, (B, length) each, not {tuple(code.shape)}",
        )
        images.append(code.mean().expand_as(image))  # finite if all of it is
    return images


def _check_network(
    registry: PartRegistry, config: dict, bands: Sequence[int], sizes: Sequence[tuple[int, int]], call: Call
) -> None:
    """Check a network for every number of bands and every size, and its state dict."""
    check_description(registry, config)
    counts = [(count, count) for count in bands]
    if "in_bands" in inspect.signature(registry.find(config["type"])).parameters:
        counts.append((bands[0], bands[0] + 2))
    with torch.random.fork_rng(devices=[]):
        for out_bands, in_bands in counts:
            for size in sizes:
                torch.manual_seed(0)
                net = registry.build(config, bands=out_bands, in_bands=in_bands)
                inputs = (
                    random_noise(1, 2, out_bands, size),
                    torch.tensor([7, 900]),
                    random_images(2, 2, in_bands, size),
                )
                _check_outputs(net, inputs, call)
        _check_weights(lambda: registry.build(config, bands=out_bands, in_bands=in_bands), inputs, call)


def _check_outputs(net: nn.Module, inputs: tuple[torch.Tensor, torch.Tensor, torch.Tensor], call: Call) -> None:
    """Check shape, data type, gradients and autocast, and that the images of a batch do not affect each other."""
    image, t, cloudy = inputs
    where = f"for {cloudy.shape[1]} to {image.shape[1]} bands of {image.shape[2]}x{image.shape[3]}"
    outputs = call(net.train(), *inputs)
    for output in outputs:
        require(output.shape == image.shape, f"the output {where} has shape {tuple(output.shape)}")
        require(output.dtype == torch.float32, f"the output {where} is {output.dtype}, not float32")
        require(bool(output.isfinite().all()), f"the output {where} must be finite")
    _check_gradients(net, outputs, where)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = call(net, *inputs)
    require(all(bool(output.isfinite().all()) for output in rounded), f"the output {where} must be finite in bfloat16")
    _check_gradients(net, rounded, f"{where} in bfloat16")
    single = call(net, image[:1], t[:1], cloudy[:1])
    require(all(bool(output.isfinite().all()) for output in single), f"a batch of one image {where} must be trainable")
    net.eval()
    with torch.no_grad():
        together, alone = call(net, *inputs)[0], call(net, image[:1], t[:1], cloudy[:1])[0]
        again = call(net, *inputs)[0]
    require(torch.equal(together, again), f"in eval mode the output {where} must be deterministic")
    require(
        torch.allclose(together[:1], alone, atol=1e-4),
        f"an image's output {where} must not depend on the other images of the batch",
    )


def _check_gradients(net: nn.Module, outputs: list[torch.Tensor], where: str) -> None:
    trained = {name: parameter for name, parameter in net.named_parameters() if parameter.requires_grad}
    if not trained:
        return
    net.zero_grad()
    loss = sum((output.float() - 0.5).square().mean() for output in outputs)
    torch.autograd.backward([torch.as_tensor(loss)])
    for name, parameter in trained.items():
        require(parameter.grad is not None, f"{name} has no gradient {where}: it is unused")
        require(
            bool(torch.as_tensor(parameter.grad).isfinite().all()), f"the gradient of {name} must be finite {where}"
        )
    nonzero = [name for name, parameter in trained.items() if bool(torch.as_tensor(parameter.grad).any())]
    require(bool(nonzero), f"all gradients {where} are zero")


def _check_weights(
    build: Callable[[], nn.Module], inputs: tuple[torch.Tensor, torch.Tensor, torch.Tensor], call: Call
) -> None:
    """Check that a trained network's state dict is complete."""
    trained, fresh = build().eval(), build().eval()
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))  # away from zero initialisation
        before, expected = call(fresh, *inputs)[0], call(trained, *inputs)[0]
        fresh.load_state_dict(trained.state_dict(), strict=True)
        after = call(fresh, *inputs)[0]
    has_weights = any(True for _ in trained.parameters())
    require(not has_weights or not torch.equal(before, expected), "the output must depend on the weights")
    require(torch.equal(after, expected), "saving and loading the state dict must give the same output")
