"""The contract of losses."""

import torch
from torch import nn

from declouds.registry import LOSSES
from declouds.testing.parts import check_description, random_images, random_noise, require


def check_loss(config: dict) -> None:
    """Check ``(output, target) -> scalar`` for the loss's attribute ``takes``: images by default.

    A loss with ``takes_cloudy`` gets the cloudy image as a third argument.
    """
    check_description(LOSSES, config)
    loss = LOSSES.build(config)
    checks = dict(images=_check_images, logits=_check_logits, latent=_check_latent)
    takes = getattr(loss, "takes", "images")
    require(takes in checks, f"takes={takes!r} must be one of {', '.join(checks)}")
    require(not loss.state_dict(), "a loss must not add to checkpoints: use register_buffer(..., persistent=False)")
    checks[takes](loss)


def _check_images(loss: nn.Module) -> None:
    """Check a loss of two images: minimal where they are equal, with finite gradients everywhere."""
    for size in ((64, 64), (37, 50)):
        target = random_images(1, 2, 3, size)
        values = []
        for deviation in (0.0, 0.1, 0.5):
            output = (target + deviation * random_noise(2, 2, 3, size)).requires_grad_()
            value = loss(output, target, *((target,) if getattr(loss, "takes_cloudy", False) else ()))
            require(value.shape == (), f"a loss must be one number, not of shape {tuple(value.shape)}")
            (gradient,) = torch.autograd.grad(value, output)
            require(
                bool(value.isfinite() and gradient.isfinite().all()),
                f"value and gradient must be finite at {deviation}",
            )
            require(
                deviation == 0 or bool(gradient.abs().sum() > 0),
                "an output that differs from the target must have a gradient",
            )
            values.append(float(value.detach()))
        require(values == sorted(set(values)), f"a loss must grow with the deviation, got {values} for 0, 0.1, 0.5")


def _check_logits(loss: nn.Module) -> None:
    """Check a loss of logits: it pulls them up for target 1 (real), and down for target 0 (restored)."""
    for shape in ((2, 1, 5, 4), (3, 1)):
        for level in (0.5, -20.0, 20.0):
            for target, sign in ((1.0, -1), (0.0, 1)):
                logits = torch.full(shape, level, requires_grad=True)
                value = loss(logits, torch.full(shape, target))
                require(value.shape == (), f"a loss must be one number, not of shape {tuple(value.shape)}")
                (gradient,) = torch.autograd.grad(value, logits)
                where = f"at logits of {level} with target {target}"
                require(
                    bool(value.isfinite() and gradient.isfinite().all()), f"value and gradient must be finite {where}"
                )
                monotonic = level != 0.5 or bool((sign * gradient > 0).all())
                require(monotonic, f"the loss must {'fall' if target else 'rise'} with the logits {where}")


def _check_latent(loss: nn.Module) -> None:
    """Check a loss of (mean, log variance): minimal at the standard normal, independent of the batch size."""
    code = (random_noise(1, 2, 8, (1, 1))[..., 0, 0], random_noise(2, 2, 8, (1, 1))[..., 0, 0])  # (B, D) each
    values = []
    for deviation in (0.0, 0.1, 0.5):
        mean, log_variance = ((deviation * value).requires_grad_() for value in code)
        value = loss((mean, log_variance), None)
        require(value.shape == (), f"a loss must be one number, not of shape {tuple(value.shape)}")
        gradients = torch.autograd.grad(value, [mean, log_variance])
        finite = bool(value.isfinite()) and all(bool(gradient.isfinite().all()) for gradient in gradients)
        require(finite, f"value and gradient must be finite at {deviation}")
        values.append(float(value.detach()))
    require(values == sorted(set(values)), f"a loss must grow with the deviation, got {values} for 0, 0.1, 0.5")
    twice = loss(tuple(0.5 * torch.cat([value, value]) for value in code), None)
    require(torch.allclose(twice, torch.tensor(values[-1])), "the loss must not grow with the batch")
