"""Images that show nothing but a colour are left as they are, where a model says so."""

import pytest
import torch
from torch import nn

from declouds.errors import UserError
from declouds.models import build_model
from declouds.models.one_pass import texture


class Black(nn.Module):
    """Makes every image black."""

    def forward(self, cloudy):
        return torch.full_like(cloudy, -1.0)


class Stretched(nn.Module):
    """Gives ten times the contrast."""

    def forward(self, cloudy):
        return (10 * (cloudy - 0.5)).clamp(-1, 1)


def model(leave_flat=(0.04, 0.06)):
    built = build_model(dict(type="OnePass", reference=dict(type="Identity"), bands=3, leave_flat=leave_flat)).eval()
    built.reference = Black()
    return built


def checkered(contrast, size=64):
    """Return an image whose texture is ``contrast``."""
    rows, cols = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    return (contrast * (2.0 * ((rows + cols) % 2) - 1)).expand(1, 3, size, size)


def test_texture_is_the_deviation_in_small_squares_whatever_the_slope():
    slope = torch.linspace(-0.5, 0.5, 512).expand(1, 3, 512, 512)
    assert texture(checkered(0.2)).item() == pytest.approx(0.2, abs=0.002)
    assert texture(slope).item() < 0.02
    assert texture(torch.full((2, 3, 1, 1), 0.3)).shape == (2, 1, 1, 1)


@pytest.mark.parametrize("contrast, share", [(0.0, 0.0), (0.03, 0.0), (0.05, 0.5), (0.07, 1.0), (0.5, 1.0)])
def test_what_is_flat_stays_and_what_is_not_is_cleared(contrast, share):
    image = 0.3 + checkered(contrast)
    torch.testing.assert_close(model().predict(image), image + share * (-1 - image), atol=0.03, rtol=0)
    if share == 0:
        assert torch.equal(model().predict(image), image)


def test_texture_that_the_estimate_has_found_under_a_veil_counts():
    veiled = 0.5 + checkered(0.01)
    network = model()
    network.reference = Stretched()
    torch.testing.assert_close(network.predict(veiled), network.reference(veiled))
    assert torch.equal(network.predict(0.5 + checkered(0.001)), 0.5 + checkered(0.001))


def test_images_of_a_batch_are_judged_apart_and_by_default_all_are_cleared():
    batch = torch.cat([checkered(0.0), checkered(0.5)])
    assert torch.equal(model().predict(batch)[0], batch[0]) and (model().predict(batch)[1] == -1).all()
    assert (model(None).predict(batch) == -1).all()


def test_training_sees_the_network_alone():
    flat = checkered(0.0)
    losses = model().losses(flat, flat, ["one"])
    assert losses["loss_0_l1"].item() == pytest.approx(1.0)


@pytest.mark.parametrize("wrong", [[0.1], [0.2, 0.1], [-1, 1]])
def test_two_rising_numbers_are_asked_for(wrong):
    with pytest.raises(UserError, match=r"leave_flat = .* two rising numbers"):
        model(wrong)
