"""The U-Net over dates: dates that are missing have no say, their order has none, days do, and it learns from them."""

import pytest
import torch

from declouds.errors import UserError
from declouds.models import build_model
from declouds.references.temporal_unet import TemporalUNet
from declouds.sources import Source

NAMES = ("red", "green", "blue")
SMALL = dict(width=8, blocks=(1, 1), heads=4)
SIZE = 13, 18


def sources(optional=False, days=(None, None), more=()):
    dates = [Source(f"d{n}", "optical", NAMES, (0, 1), day, optional) for n, day in enumerate(days)]
    return (Source("image", "optical", NAMES, (0, 1)), *more, *dates)


def network(*args, **options):
    """Return a network that is not the identity."""
    torch.manual_seed(0)
    net = TemporalUNet(*args, **SMALL, **options).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return net


def images(channels, seed=0, size=SIZE):
    return torch.rand(1, channels, *size, generator=torch.Generator().manual_seed(seed)) - 0.5


@torch.no_grad()
def test_it_starts_as_the_identity_and_has_the_documented_size():
    cloudy = images(9)
    assert torch.equal(TemporalUNet(3, 9, dates=2, **SMALL)(cloudy), cloudy[:, :3])
    assert sum(parameter.numel() for parameter in TemporalUNet(3, 9, dates=2).parameters()) == 2_549_676


@torch.no_grad()
def test_a_date_that_is_missing_has_no_say():
    net, cloudy = network(3, 11, sources(optional=True)), images(11)
    cloudy[:, [6, 10]] = 1
    whole = net(cloudy)
    cloudy[:, 10] = -1
    without = net(cloudy)
    assert not torch.allclose(whole, without, atol=1e-3)
    cloudy[:, 7:10] = 0.4
    assert torch.equal(net(cloudy), without)
    cloudy[:, 6] = -1
    assert net(cloudy).isfinite().all()  # no date is left


@torch.no_grad()
def test_the_order_of_dates_without_days_does_not_matter_and_days_do():
    cloudy = images(9)
    turned = torch.cat([cloudy[:, :3], cloudy[:, 6:], cloudy[:, 3:6]], 1)
    net = network(3, 9, sources())
    torch.testing.assert_close(net(turned), net(cloudy), atol=1e-5, rtol=0)
    near, far = (network(3, 9, sources(days=days)) for days in ((-5, 5), (-5, 300)))
    assert not torch.allclose(near(cloudy), far(cloudy), atol=1e-4)
    assert not torch.allclose(far(turned), far(cloudy), atol=1e-4)


@torch.no_grad()
def test_radar_is_concatenated_to_the_image():
    radar = Source("sar", "sar", ("VV", "VH"), (-25, 0))
    net, cloudy = network(3, 11, sources(more=(radar,))), images(11)
    assert (net.others, len(net.dates)) == ([3, 4], 2)
    other = cloudy.clone()
    other[:, 3:5] += 0.3
    assert not torch.allclose(net(other), net(cloudy), atol=1e-4)


def test_it_takes_what_the_cloud_hides_from_the_date_that_shows_it():
    """Either date is the clear image and the other one white, at random."""
    generator = torch.Generator().manual_seed(0)
    clear = torch.rand(16, 1, 8, 8, generator=generator) - 0.5
    white, first = torch.full_like(clear, 0.9), (torch.arange(16) % 2 == 0)[:, None, None, None]
    errors = {}
    for name, shown in (("shown", clear), ("hidden", white)):
        torch.manual_seed(0)
        net = TemporalUNet(1, 3, dates=2, **SMALL)
        optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
        cloudy = torch.cat([white, torch.where(first, shown, white), torch.where(first, white, shown)], 1)
        for _ in range(80):
            (restored,) = net.training_outputs(cloudy, clear)["restorations"]
            loss = (restored - clear).abs().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        errors[name] = loss.item()
    assert errors["shown"] < 0.3 * errors["hidden"]


def test_a_de_takes_it_as_its_reference():
    unet = dict(base=8, multipliers=(1, 1), blocks=1, attention_at=())
    model = build_model(
        dict(
            type="DiffusionEnhancement",
            denoiser=dict(type="ConditionalUNet", predicts="clear", **unet),
            reference=dict(type="TemporalUNet", dates=2, **SMALL),
            fusion=dict(type="WeightAllocation", **unet),
            noise_schedule=dict(type="LinearSchedule"),
            sampler=dict(type="DDIM", steps=2),
            bands=3,
            in_bands=11,
            inputs=[source.config() for source in sources(optional=True, days=(-10, 30))],
        )
    ).eval()
    assert [date.flag for date in model.reference.dates] == [6, 10]
    assert torch.equal(model.prior(images(11)), images(11)[:, :3])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(dates=2), "TemporalUNet: dates = 2, and the input has 5 channels beside the 3 of the image"),
        (dict(inputs=sources(), dates=3), r"TemporalUNet: 2 of the further sources .* 3 are needed"),
        (dict(heads=5), "TemporalUNet: heads = 5: give a divisor of width = 32"),
    ],
)
def test_what_cannot_be_built(arguments, message):
    with pytest.raises(UserError, match=message):
        TemporalUNet(3, 8, **arguments)
