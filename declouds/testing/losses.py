"""The contract of losses."""

import torch
from torch import nn

from declouds.registry import LOSSES
from declouds.testing.parts import check_description, random_images, random_noise, require


def check_loss(config: dict) -> None:
    """Check ``(output, target) -> scalar`` for what the loss ``takes``: images unless it says otherwise."""
    check_description(LOSSES, config)
    loss = LOSSES.build(config)
    checks = dict(images=_check_distance, logits=_check_judgement, latent=_check_latent)
    takes = getattr(loss, "takes", "images")
    require(takes in checks, f"takes={takes!r} is none of {', '.join(checks)}")
    require(not loss.state_dict(), "a loss leaves nothing in checkpoints: register_buffer(..., persistent=False)")
    checks[takes](loss)


def _check_distance(loss: nn.Module) -> None:
    """Check a loss of two images: least where the two are equal, gradients finite there and elsewhere."""
    for size in ((64, 64), (37, 50)):
        target = random_images(1, 2, 3, size)
        values = []
        for deviation in (0.0, 0.1, 0.5):
            output = (target + deviation * random_noise(2, 2, 3, size)).requires_grad_()
            value = loss(output, target)
            require(value.shape == (), f"a loss is one number, not of shape {tuple(value.shape)}")
            (gradient,) = torch.autograd.grad(value, output)
            require(
                bool(value.isfinite() and gradient.isfinite().all()), f"value and gradient are finite at {deviation}"
            )
            require(deviation == 0 or bool(gradient.abs().sum() > 0), "an output that is off has a gradient")
            values.append(float(value.detach()))
        require(values == sorted(set(values)), f"a loss grows with the deviation; it is {values} for 0, 0.1, 0.5")


def _check_judgement(loss: nn.Module) -> None:
    """Check a loss of logits: it pulls them up where the target is 1 (real), and down where it is 0 (restored)."""
    for shape in ((2, 1, 5, 4), (3, 1)):
        for level in (0.5, -20.0, 20.0):
            for target, sign in ((1.0, -1), (0.0, 1)):
                logits = torch.full(shape, level, requires_grad=True)
                value = loss(logits, torch.full(shape, target))
                require(value.shape == (), f"a loss is one number, not of shape {tuple(value.shape)}")
                (gradient,) = torch.autograd.grad(value, logits)
                where = f"at logits of {level} with target {target}"
                require(bool(value.isfinite() and gradient.isfinite().all()), f"value and gradient are finite {where}")
                right = level != 0.5 or bool((sign * gradient > 0).all())
                require(right, f"the loss {'falls' if target else 'rises'} with the logits {where}")


def _check_latent(loss: nn.Module) -> None:
    """Check a loss of (mean, log variance) without a target: least at the standard normal, the same for any batch."""
    code = (random_noise(1, 2, 8, (1, 1))[..., 0, 0], random_noise(2, 2, 8, (1, 1))[..., 0, 0])  # (B, D) each
    values = []
    for deviation in (0.0, 0.1, 0.5):
        mean, log_variance = ((deviation * value).requires_grad_() for value in code)
        value = loss((mean, log_variance), None)
        require(value.shape == (), f"a loss is one number, not of shape {tuple(value.shape)}")
        gradients = torch.autograd.grad(value, [mean, log_variance])
        finite = bool(value.isfinite()) and all(bool(gradient.isfinite().all()) for gradient in gradients)
        require(finite, f"value and gradient are finite at {deviation}")
        values.append(float(value.detach()))
    require(values == sorted(set(values)), f"a loss grows with the distance; it is {values} for 0, 0.1, 0.5")
    twice = loss(tuple(0.5 * torch.cat([value, value]) for value in code), None)
    require(torch.allclose(twice, torch.tensor(values[-1])), "the loss does not grow with the batch")
