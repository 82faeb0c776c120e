"""NAFNet beside radar: an exchange by its equation, missing radar, and radar that reaches the result."""

import pytest
import torch

from declouds.errors import UserError
from declouds.models import OnePass
from declouds.references.naf_net import NAFNet
from declouds.references.radar_naf_net import Exchange, RadarNAFNet
from declouds.sources import FILL, MISSING, PRESENT, Source

SMALL = dict(width=4, encoder_blocks=(1, 1), decoder_blocks=(1, 1))
IMAGE = Source("image", "optical", ("red", "green"), (0, 10000))
SAR = Source("sar", "sar", ("VV", "VH"), ((-25, 0), (-32.5, 0)), optional=True)
DATE = Source("date", "optical", ("red", "green"), (0, 10000))


def shaken(net):
    """Move every weight from its first value: blocks begin as the identity."""
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in net.parameters():
            weight += 0.1 * torch.randn_like(weight)
    return net.eval()


def images(channels, height=13, width=18):
    return torch.rand(2, channels, height, width, generator=torch.Generator().manual_seed(1)) - 0.5


def flagged(cloudy, flag=PRESENT, start=2):
    """Set the flag of radar that begins at a channel."""
    cloudy = cloudy.clone()
    cloudy[:, start + 2] = flag
    return cloudy


def test_an_exchange_follows_its_equation():
    exchange = shaken(Exchange(3))
    optical, radar, known = images(3), images(3).flip(1), images(1) + 0.5
    weight, bias = exchange.gates.weight[:, :, 0, 0], exchange.gates.bias
    both = torch.cat([optical, radar], 1)
    gates = torch.sigmoid(torch.einsum("oc,bchw->bohw", weight, both) + bias[:, None, None])

    def mapped(layer, values):
        return torch.einsum("oc,bchw->bohw", layer.weight[:, :, 0, 0], values) + layer.bias[:, None, None]

    first, second = exchange(optical, radar, known)
    torch.testing.assert_close(second, radar + gates[:, :3] * mapped(exchange.to_radar, optical))
    torch.testing.assert_close(first, optical + known * gates[:, 3:] * mapped(exchange.to_optical, second))


@torch.no_grad()
def test_missing_radar_leaves_the_network_of_the_image():
    net = shaken(RadarNAFNet(2, 5, (IMAGE, SAR), **SMALL))
    alone = NAFNet(2, 2, **SMALL)
    alone.load_state_dict({key: value for key, value in net.state_dict().items() if key in alone.state_dict()})
    cloudy = flagged(images(5), MISSING)
    other = cloudy.clone()
    other[:, 2:4] = FILL
    torch.testing.assert_close(net(cloudy), alone.eval()(cloudy[:, :2]))
    torch.testing.assert_close(net(cloudy), net(other))
    assert not torch.allclose(net(flagged(cloudy)), net(cloudy), atol=1e-3)


@torch.no_grad()
def test_radar_is_found_wherever_the_inputs_have_it():
    """The same weights, with a date before the radar or after it."""
    last = shaken(RadarNAFNet(2, 7, (IMAGE, DATE, SAR), **SMALL))
    middle = RadarNAFNet(2, 7, (IMAGE, SAR, DATE), **SMALL).eval()
    middle.load_state_dict(last.state_dict())
    cloudy = flagged(images(7), PRESENT, 4)
    torch.testing.assert_close(last(cloudy), middle(cloudy[:, [0, 1, 4, 5, 6, 2, 3]]))


@torch.no_grad()
def test_without_sources_what_follows_the_image_is_radar():
    given = shaken(RadarNAFNet(2, 4, (IMAGE, Source("s", "sar", ("VV", "VH"), (-25, 0))), **SMALL))
    cloudy = images(4)
    counted = RadarNAFNet(2, 4, **SMALL).eval()
    counted.load_state_dict(given.state_dict())
    torch.testing.assert_close(counted(cloudy), given(cloudy))
    assert not torch.equal(given(cloudy), given(torch.cat([cloudy[:, :2], cloudy[:, 2:] + 0.1], 1)))


def test_a_model_tells_it_the_sources():
    config = dict(type="RadarNAFNet", **SMALL)
    inputs = [source.config() for source in (IMAGE, SAR)]
    model = OnePass(config, bands=2, in_bands=5, inputs=inputs)
    assert model.reference.radar == slice(2, 5) and model.reference.flagged
    with pytest.raises(UserError, match=r"0 of the sources \(image, date\) are radar, and it takes one: give the data"):
        OnePass(config, bands=2, in_bands=4, inputs=[source.config() for source in (IMAGE, DATE)])


def test_it_learns_from_radar_what_the_cloud_hides():
    """The clear image is what radar shows, and the cloudy one is white: without radar the error stays."""
    clear = torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(0)) - 0.5
    errors = {}
    for name, radar in (("shown", clear), ("hidden", torch.zeros_like(clear))):
        torch.manual_seed(0)
        net = RadarNAFNet(bands=1, in_bands=2, width=8, encoder_blocks=(1,), decoder_blocks=(1,))
        optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
        cloudy = torch.cat([torch.full_like(clear, 0.9), radar], 1)
        for _ in range(60):
            (restored,) = net.training_outputs(cloudy, clear)["restorations"]
            loss = (restored - clear).abs().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        errors[name] = loss.item()
    assert errors["shown"] < 0.5 * errors["hidden"]
