"""CVAE: priors that repeat, samples, and images of another size than the learned one."""

import pytest
import torch

from declouds.errors import UserError
from declouds.references.cvae import CVAE, fit

SMALL = dict(samples=3, latent=8, size=32, width=32, depth=2, features=4)


def small(bands=3, **arguments):
    """Return a small network whose decoder passes on what it gets: as initialised, a code changes next to nothing."""
    torch.manual_seed(0)
    network = CVAE(bands, **(SMALL | arguments)).eval()
    for parameter in network.decoder.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=1.6 * parameter[0].numel() ** -0.5)
    return network


def images(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1)) * 2 - 1


@torch.no_grad()
def restore(network, cloudy):
    return network.training_outputs(cloudy, cloudy)["restorations"][0]


@pytest.mark.parametrize(("bands", "size"), [(1, (5, 7)), (4, (1, 1)), (13, (37, 50)), (3, (1, 40))])
@torch.no_grad()
def test_any_bands_and_any_size(bands, size):
    cloudy = images(2, bands, *size)
    prior = small(bands)(cloudy)
    assert prior.shape == cloudy.shape
    assert prior.isfinite().all()
    assert prior.abs().max() <= 1


@torch.no_grad()
def test_more_bands_in_than_out():
    assert small(3, in_bands=5)(images(1, 5, 16, 48)).shape == (1, 3, 16, 48)


@torch.no_grad()
def test_a_prior_depends_on_its_image_alone():
    network, cloudy = small(), images(4, 3, 24, 40)
    prior = network(cloudy)
    torch.manual_seed(7)  # neither on torch's random state, nor on the order, nor on the batch
    torch.testing.assert_close(network(cloudy.flip(0)).flip(0), prior, rtol=0, atol=1e-5)
    torch.testing.assert_close(torch.cat([network(image[None]) for image in cloudy]), prior, rtol=0, atol=1e-5)
    fresh = CVAE(**SMALL).eval()
    assert not torch.allclose(fresh(cloudy), prior, atol=1e-4)
    fresh.load_state_dict(network.state_dict(), strict=True)
    assert torch.equal(fresh(cloudy), prior)


@torch.no_grad()
def test_the_prior_is_the_mean_over_its_samples():
    network, cloudy = small(), images(2, 3, 32, 32)
    network.encoder.log_variance.bias.fill_(4)
    prior, draws, singles = network(cloudy), network.draws, []
    assert draws.shape == (3, 1, 8)
    for draw in draws:
        network.draws = draw[None]
        singles.append(network(cloudy))
    assert (singles[0] - singles[1]).abs().max() > 1e-3
    inside = torch.stack(singles).abs().amax(0) < 1  # where nothing was clamped
    assert inside.float().mean() > 0.5
    torch.testing.assert_close(prior[inside], torch.stack(singles).mean(0)[inside])


@torch.no_grad()
def test_no_samples_give_the_mean_code():
    cloudy = images(1, 3, 32, 32)
    several, mean = small(), small(samples=0)
    mean.load_state_dict(several.state_dict(), strict=True)
    assert not torch.equal(several(cloudy), mean(cloudy))
    several.encoder.log_variance.weight.zero_()
    several.encoder.log_variance.bias.fill_(-1000)  # a variance of 0: every code is the mean
    torch.testing.assert_close(several(cloudy), mean(cloudy), rtol=0, atol=1e-5)


@torch.no_grad()
def test_training_draws_anew_and_gives_the_latent_distribution():
    network, cloudy = small(), images(2, 3, 24, 40)
    torch.manual_seed(1)
    first, second = restore(network, cloudy), restore(network, cloudy)
    assert not torch.equal(first, second)
    torch.manual_seed(1)
    outputs = network.training_outputs(cloudy, cloudy)
    assert torch.equal(outputs["restorations"][0], first)
    mean, log_variance = outputs["latent"]
    assert mean.shape == log_variance.shape == (2, 8)
    same = network.training_outputs(cloudy[:1].repeat(2, 1, 1, 1), cloudy)["restorations"][0]
    assert not torch.equal(same[0], same[1])  # each image has draws of its own


def test_the_restoration_is_not_clamped():
    network, cloudy = small(), torch.full((1, 3, 16, 16), 0.9)
    torch.nn.init.constant_(network.decoder.tail.bias, 3.0)
    assert restore(network, cloudy).max() > 1
    assert network(cloudy).max() == 1


@torch.no_grad()
def test_another_size_is_as_if_positions_and_map_had_been_learned_there():
    # A network for 64x64 whose learned maps are those of one for 32x32, enlarged, does as that does with 64x64.
    learned, large = small(), small(size=64)
    state = learned.state_dict()
    tokens, places = state["encoder.positions"].split([2, 4], dim=1)
    places = fit(places.mT.unflatten(2, (2, 2)), (4, 4)).flatten(2).mT
    state["encoder.positions"] = torch.cat([tokens, places], 1)
    weight = fit(state["decoder.to_map.1.weight"].T.unflatten(1, (3, 2, 2)), (4, 4))  # each hidden unit's map
    state["decoder.to_map.1.weight"] = weight.flatten(1).T
    state["decoder.to_map.1.bias"] = fit(state["decoder.to_map.1.bias"].view(1, 3, 2, 2), (4, 4)).flatten()
    large.load_state_dict(state, strict=True)
    cloudy = images(1, 3, 64, 64)
    torch.testing.assert_close(learned(cloudy), large(cloudy), rtol=0, atol=1e-5)


@torch.no_grad()
def test_bfloat16_stays_near_float32():
    network, cloudy = small(), images(1, 3, 32, 32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = network(cloudy)
    assert (rough.float() - network(cloudy)).abs().max() < 0.1


def test_the_official_number_of_parameters():
    with torch.device("meta"):
        network = CVAE()
    assert sum(parameter.numel() for parameter in network.parameters()) == 15_418_847
    assert not any("draws" in key for key in network.state_dict())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (dict(samples=-1), "1 or more, or 0"),
        (dict(size=250), "size must be a multiple of 16"),
        (dict(size=0), "size must be a multiple of 16"),
        (dict(width=30), "multiple of heads = 8, got 30"),
        (dict(features=3), "use more features"),
    ],
)
def test_impossible_arguments_are_user_errors(arguments, says):
    with pytest.raises(UserError, match=says):
        small(**arguments)
