"""AMGAN-CR: what the attention does, and its sizes."""

import pytest
import torch

from declouds.references.amgan_cr import AMGANCR


def small(bands=3, **arguments):
    torch.manual_seed(0)
    return AMGANCR(bands, **(dict(features=8) | arguments)).eval()


def images(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.mark.parametrize(("bands", "size"), [(1, (5, 7)), (4, (1, 1)), (13, (37, 50))])
def test_any_bands_and_any_size(bands, size):
    cloudy = images(2, bands, *size)
    network = small(bands)
    outputs = network.training_outputs(cloudy, cloudy)
    assert outputs["attention"].shape == (2, 1, *size)
    (restored,) = outputs["restorations"]
    assert restored.shape == cloudy.shape
    torch.testing.assert_close(network(cloudy), restored.clamp(-1, 1))


def test_the_restoration_is_not_clamped():
    network = small()
    torch.nn.init.constant_(network.tail.weight, 5.0)
    cloudy = images(1, 3, 16, 16)
    assert network.training_outputs(cloudy, cloudy)["restorations"][0].max() > 1
    assert network(cloudy).max() <= 1


def test_more_bands_in_than_out():
    cloudy = images(1, 5, 9, 11)
    assert small(3, in_bands=5)(cloudy).shape == (1, 3, 9, 11)


@torch.no_grad()
def test_where_there_is_no_attention_the_guided_blocks_do_nothing():
    cloudy = images(1, 3, 16, 16)
    network = small()
    last = network.attention.to_attention
    before = network(cloudy)
    network.guided[2][4].weight.mul_(3)
    assert not torch.allclose(network(cloudy), before, atol=1e-4)
    torch.nn.init.zeros_(last.weight)
    torch.nn.init.zeros_(last.bias)
    without = network(cloudy)
    network.guided[2][4].weight.mul_(3)
    assert torch.equal(network(cloudy), without)
    torch.nn.init.ones_(last.bias)
    network.guided[2][4].weight.mul_(1 / 9)
    assert not torch.allclose(network(cloudy), without, atol=1e-4)


@torch.no_grad()
def test_each_look_sees_further():
    """A look is 13 convolutions deep: the entry, two in each of five blocks, the gates, and the map's own."""
    cloudy = images(1, 3, 1, 64).double()
    changed = cloudy.clone()
    changed[..., 0] *= -1
    reach = []
    for iterations in (1, 2):
        network = small(iterations=iterations).double()
        for parameter in network.parameters():  # positive and small: no ReLU closes, no sigmoid saturates
            parameter.abs_().mul_(0.5)
        maps = [network.attention((image + 1) / 2) for image in (cloudy, changed)]
        reach.append(int((maps[0] - maps[1])[0, 0, 0].nonzero().max()))
    assert reach[0] == 13 < reach[1] <= 26


def test_the_official_number_of_parameters_less_the_block_that_is_never_used():
    with torch.device("meta"):
        count = sum(parameter.numel() for parameter in AMGANCR().parameters())
    assert count == 238_273 - 11_264


def test_bfloat16_stays_near_float32_and_gives_float32():
    network, cloudy = small(), images(1, 3, 32, 32)
    with torch.no_grad():
        exact = network.training_outputs(cloudy, cloudy)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rough = network.training_outputs(cloudy, cloudy)
    for now, then in ((rough["restorations"][0], exact["restorations"][0]), (rough["attention"], exact["attention"])):
        assert now.dtype == torch.float32
        assert (now - then).abs().max() < 0.05


def test_weights_files_name_the_layers_of_a_block_by_their_places():
    keys = [key for key in small().state_dict() if key.startswith(("guided.2.", "plain.1."))]
    assert keys == [f"{block}.{layer}.weight" for block in ("guided.2", "plain.1") for layer in (0, 2, 4)]
