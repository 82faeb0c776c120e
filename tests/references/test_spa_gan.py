"""SpA-GAN's generator: what its steps see, where its attention works, and which way round its directions are."""

import pytest
import torch

from declouds.models import OnePass
from declouds.models.one_pass import attention_target
from declouds.references.spa_gan import FourDirections, SpAGAN, SpatialAttention, Step


def images(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1)) * 2 - 1


def small(bands=3, features=6):
    torch.manual_seed(0)
    network = SpAGAN(bands, features).eval()
    with torch.no_grad():
        for parameter in network.attention.looks.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))  # a step of its own for each direction
    return network


@pytest.mark.parametrize("bands", [1, 4, 13])
@pytest.mark.parametrize("size", [(37, 50), (5, 1), (1, 9), (1, 1)])
def test_any_bands_and_size(bands, size):
    network, cloudy = small(bands), images(2, bands, *size)
    with torch.no_grad():
        outputs, prior = network.training_outputs(cloudy, cloudy), network(cloudy)
    assert prior.shape == cloudy.shape
    assert torch.equal(prior, outputs["restorations"][0].clamp(-1, 1))
    assert outputs["attention"].shape == (2, 1, *size)
    assert ((outputs["attention"] > 0) & (outputs["attention"] < 1)).all()


def test_the_default_is_the_authors_network_less_what_it_drops():
    network = SpAGAN()
    dropped = (32 * 32 * 9) + (32 * 16 * 9 + 16) + (16 * 16 * 9 + 16) + (16 * 4 + 4)
    assert sum(p.numel() for p in network.parameters()) == 219_300 - dropped == 203_072
    assert not list(network.buffers())  # nothing like BatchNorm
    assert sum(isinstance(module, SpatialAttention) for module in network.modules()) == 1


def test_a_step_goes_one_pixel_and_leaves_the_first_as_it_is():
    step = Step(1, 3, forward=True)
    torch.nn.init.constant_(step.weight, 0.5)
    torch.nn.init.constant_(step.bias, 0.25)
    row = torch.tensor([-1.0, -2.0, 3.0, 4.0]).reshape(1, 1, 1, 4)
    assert step(row).flatten().tolist() == [-1.0, 0.0, 2.25, 5.75]
    back = Step(1, 3, forward=False)
    back.load_state_dict(step.state_dict())
    assert torch.equal(back(row.flip(3)).flip(3), step(row))


def test_the_four_directions_are_up_right_down_left():
    spot = torch.zeros(1, 1, 5, 5)
    spot[..., 2, 2] = 1.0
    seen = FourDirections(1)(spot)[0]
    places = [(channel > 0).nonzero().tolist() for channel in seen]
    assert places == [[[2, 2], [3, 2]], [[2, 1], [2, 2]], [[1, 2], [2, 2]], [[2, 2], [2, 3]]]


def test_a_mirrored_network_mirrors_the_image():
    network, cloudy = small(), images(1, 3, 12, 17)
    mirrored = small()
    with torch.no_grad():
        expected = network.training_outputs(cloudy, cloudy)
        for parameter in mirrored.parameters():
            if parameter.shape[2:] == (3, 3):
                parameter.copy_(parameter.flip(3))
        for look, merge in zip(mirrored.attention.looks, mirrored.attention.merges, strict=True):
            for left, right in zip(look.left.parameters(), look.right.parameters(), strict=True):
                left.data, right.data = right.data, left.data
            up, right, down, left = merge.weight.chunk(4, dim=1)
            merge.weight.copy_(torch.cat([up, left, down, right], 1))
        outputs = mirrored.training_outputs(cloudy.flip(3), cloudy)
        unmirrored = network(cloudy.flip(3)).flip(3)
    torch.testing.assert_close(outputs["restorations"][0].flip(3), expected["restorations"][0], rtol=0, atol=1e-5)
    torch.testing.assert_close(outputs["attention"].flip(3), expected["attention"], rtol=0, atol=1e-5)
    assert (unmirrored - expected["restorations"][0]).abs().max() > 1e-3


def test_one_module_looks_four_times_and_the_last_map_is_given_out():
    network, cloudy, maps = small(), images(1, 3, 12, 17), []
    network.attention.register_forward_hook(lambda module, inputs, output: maps.append(output))
    attention = network.training_outputs(cloudy, cloudy)["attention"]
    assert len(maps) == 4
    assert torch.equal(attention, maps[-1])
    assert not torch.equal(attention, maps[0])


def test_where_nothing_needs_attention_the_attended_blocks_do_nothing():
    network, cloudy = small(), images(1, 3, 12, 17)
    network.attention.register_forward_hook(lambda module, inputs, output: torch.zeros_like(output))
    before = network(cloudy)
    for block in network.blocks[3:15]:
        torch.nn.init.normal_(block.conv3.weight)
    assert torch.equal(network(cloudy), before)
    for block in (network.blocks[2], network.blocks[15]):  # these are not attended
        kept = block.conv3.weight.detach().clone()
        torch.nn.init.normal_(block.conv3.weight)
        assert not torch.equal(network(cloudy), before)
        block.conv3.weight.data = kept


def test_every_parameter_gets_a_finite_gradient_from_both_outputs():
    network, cloudy = small(), images(2, 3, 12, 17)
    outputs = network.training_outputs(cloudy, cloudy)
    (outputs["restorations"][0].square().mean() + outputs["attention"].square().mean()).backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), key
        assert parameter.grad.abs().sum() > 0, key


def test_bfloat16_stays_near_float32_and_gives_float32():
    network, cloudy = small(), images(1, 3, 32, 32)
    with torch.no_grad():
        exact = network.training_outputs(cloudy, cloudy)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rough = network.training_outputs(cloudy, cloudy)
    for now, then in ((rough["restorations"][0], exact["restorations"][0]), (rough["attention"], exact["attention"])):
        assert now.dtype == torch.float32
        assert (now - then).abs().max() < 0.05


def test_its_attention_can_be_supervised():
    model = OnePass(
        reference=dict(type="SpAGAN", features=4),
        losses=[dict(type="L1", weight=100.0), dict(type="MSE", of="attention")],
        bands=3,
    )
    model.train_only(["reference"])
    cloudy = images(2, 3, 12, 17)
    losses = model.losses(cloudy, cloudy - 0.1, ["a", "b"])
    attention = model.reference.training_outputs(cloudy, cloudy)["attention"]
    expected = attention.square().mean()  # clear is nowhere brighter, so the target is 0
    torch.testing.assert_close(losses["loss_1_mse"], expected)
    sum(losses.values()).backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.reference.parameters())


def test_its_attention_target_is_signed():
    clear = torch.zeros(1, 3, 1, 4)
    cloudy = clear + torch.tensor([0.5, 0.0, -0.001, -0.5])  # cloud, nothing, a little shadow, shadow
    torch.testing.assert_close(attention_target(cloudy, clear).flatten(), torch.tensor([0.0, 0.0, 0.3825, 1.0]))


def test_weights_files_name_the_convolutions_of_a_block():
    keys = [key for key in small().state_dict() if key.startswith("blocks.16.")]
    assert keys == ["blocks.16.conv1.weight", "blocks.16.conv2.weight", "blocks.16.conv3.weight"]
    assert not any("relu" in key for key in small().state_dict())
