"""A reference trained against a discriminator."""

import pytest
import torch
from torch import nn

from declouds.models import Adversarial
from declouds.registry import DISCRIMINATORS
from declouds.training.runner import PartOptimizers


@DISCRIMINATORS.register_module()
class SlopeOfTests(nn.Module):
    """A discriminator whose gradient is known: it is the slope in every one of 3 x 4 x 4 values."""

    def __init__(self, slope=0.5):
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(slope))

    def forward(self, cloudy, image):
        return (self.slope * image).sum((1, 2, 3))[:, None, None, None]


@pytest.fixture(autouse=True, scope="module")
def leave_no_part_behind():
    yield
    DISCRIMINATORS.module_dict.pop("SlopeOfTests")


def model(discriminator=None, **arguments):
    torch.manual_seed(0)
    arguments = dict(adversarial_loss=dict(type="LeastSquaresGAN", weight=0.1), losses=[dict(type="L1")]) | arguments
    built = Adversarial(
        reference=dict(type="GainOffsetUNet", base=8, multipliers=(1, 2), attention_at=()),
        discriminator=discriminator or dict(type="PatchDiscriminator", base=8),
        **arguments,
    )
    built.train_only(["reference", "discriminator"])
    return built.train()


def optimizers(model, kind="SGD"):
    wrapper = dict(type="OptimWrapper", optimizer=dict(type=kind, lr=1e-3))
    return PartOptimizers(dict(reference=wrapper, discriminator=wrapper))(model)


def batch(size=16):
    generator = torch.Generator().manual_seed(1)
    cloudy, clear = (torch.rand(2, 3, size, size, generator=generator) * 1.6 - 0.8 for _ in range(2))
    return dict(cloudy=cloudy, clear=clear, name=["a", "b"])


def parameters(part):
    return [value.detach().clone() for value in part.parameters()]


def same(some, others):
    return all(torch.equal(one, other) for one, other in zip(some, others, strict=True))


def test_a_step_changes_both_and_each_by_its_own_loss():
    one = model()
    before = {name: parameters(getattr(one, name)) for name in one.parts}
    losses = one.train_step(batch(), optimizers(one))
    assert set(losses) == {"loss", "loss_0_l1", "loss_adversarial", "loss_real", "loss_restored"}
    for name in one.parts:
        assert not same(parameters(getattr(one, name)), before[name])
    alone = model(adversarial_loss=dict(type="LeastSquaresGAN", weight=0.0))
    alone.train_step(batch(), optimizers(alone))
    # The discriminator does not feel the reference's losses: it took the same step with weight 0.
    assert same(parameters(one.discriminator), parameters(alone.discriminator))
    assert not same(parameters(one.reference), parameters(alone.reference))
    assert all(parameter.requires_grad for parameter in one.discriminator.parameters())


@pytest.mark.parametrize("slope", [0.5, 1.0])
@pytest.mark.parametrize("amp", [False, True])
def test_the_penalty_is_the_squared_distance_of_the_gradient_norm_from_one(slope, amp):
    one = model(dict(type="SlopeOfTests", slope=slope), gradient_penalty=10.0)
    data = batch(4)
    with torch.autocast("cpu", torch.bfloat16, enabled=amp):
        losses = one._discriminator_losses(data["cloudy"], data["clear"], data["cloudy"])
    assert losses["loss_penalty"].item() == pytest.approx(10 * (slope * 48**0.5 - 1) ** 2, rel=1e-5)
    losses["loss_penalty"].backward()
    assert one.discriminator.slope.grad.item() == pytest.approx(20 * (slope * 48**0.5 - 1) * 48**0.5, rel=1e-5)


def test_the_discriminator_learns_to_tell_and_the_reference_to_please_it():
    one = model(adversarial_loss=dict(type="LeastSquaresGAN", weight=1.0), losses=[dict(type="L1", weight=0.0)])
    data = batch(32)
    data["clear"] = data["clear"].abs()  # real ones are bright
    wrappers = optimizers(one, "Adam")
    first = one.train_step(data, wrappers)
    for _ in range(60):
        last = one.train_step(data, wrappers)
    assert last["loss_real"] + last["loss_restored"] < 0.7 * (first["loss_real"] + first["loss_restored"])
    brightness = one.reference(data["cloudy"]).mean()
    assert brightness > data["cloudy"].mean() + 0.01
