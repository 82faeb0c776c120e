"""The numbers of losses: closed forms, and what other programs give."""

import math

import pytest
import torch
import torch.nn.functional as F
from torchmetrics.functional.image import structural_similarity_index_measure

from declouds.losses.edge import Edge, finest_level
from declouds.losses.ssim import SSIM
from declouds.models import OnePass
from declouds.registry import LOSSES


def loss(name, **arguments):
    return LOSSES.build(dict(type=name, **arguments))


def images(seed=0, bands=3, height=13, width=18):
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(2, bands, height, width, generator=generator) * 1.8 - 0.9 for _ in range(2))


@pytest.mark.parametrize("least", [0.0, 0.02])
def test_roots_weigh_dark_ground_more(least):
    dark, bright = (torch.full((1, 3, 4, 4), 2 * level - 1) for level in (0.04, 0.64))
    of_dark, of_bright = (loss("RootL1", least=least)(level + 0.1, level) for level in (dark, bright))
    assert of_dark.item() == pytest.approx(2 * ((0.09 + least) ** 0.5 - (0.04 + least) ** 0.5), rel=1e-4)
    assert of_dark > 2 * of_bright
    assert loss("RootL1")(bright - 3, dark).item() == pytest.approx(2 * (0.06**0.5 - 0.02**0.5), rel=1e-4)


@pytest.mark.parametrize(
    ("config", "deviation", "value"),
    [
        (dict(type="L1"), 0.3, 0.3),
        (dict(type="MSE"), 0.3, 0.09),
        (dict(type="Charbonnier", epsilon=0.4), 0.3, 0.5),
        (dict(type="SmoothL1"), 0.3, 0.045),
        (dict(type="SmoothL1", beta=0.2), 0.3, 0.2),
        (dict(type="PSNR"), 0.2, -20.0),  # a tenth of the range
        (dict(type="PSNR"), 0.0, -80.0),
    ],
)
def test_a_constant_deviation_gives_the_closed_form(config, deviation, value):
    target = torch.linspace(-0.9, 0.6, 2 * 3 * 8 * 10).reshape(2, 3, 8, 10)
    assert LOSSES.build(config)(target + deviation, target).item() == pytest.approx(value, rel=1e-4)


def test_only_what_is_worse_than_the_cloudy_image_is_harm():
    clear = torch.zeros(1, 1, 1, 4)
    cloudy = clear + torch.tensor([0.4, 0.4, 0.0, -0.2])
    output = clear + torch.tensor([0.1, 0.5, -0.3, 0.2])
    assert loss("NoHarm")(output, clear, cloudy).item() == pytest.approx((0 + 0.1 + 0.3 + 0) / 4)


def test_leaving_an_image_with_further_channels_as_it_is_does_no_harm():
    model = OnePass(dict(type="Identity"), [dict(type="NoHarm")], bands=2, in_bands=3)
    clear, cloudy = images(bands=3)
    assert [value.item() for value in model.losses(cloudy, clear[:, :2], ["a", "b"]).values()] == [0.0]


def test_the_psnr_is_averaged_over_images_not_their_errors():
    target = torch.zeros(2, 1, 4, 4)
    output = target + torch.tensor([0.2, 0.02])[:, None, None, None]
    assert loss("PSNR")(output, target).item() == pytest.approx(-30.0, rel=1e-3)


@pytest.mark.parametrize("size", [(13, 18), (16, 16), (1, 2)])
def test_the_laplacian_is_that_of_eight_neighbours(size):
    output, target = images(1, 2, *size)
    kernel = torch.full((2, 1, 3, 3), -1.0)
    kernel[:, :, 1, 1] = 8
    edges = [F.conv2d(image, kernel, padding=1, groups=2) for image in (output, target)]
    torch.testing.assert_close(loss("Laplacian")(output, target), (edges[0] - edges[1]).abs().mean())


def test_the_edges_of_a_point_are_worked_out_by_hand():
    # In the middle of a row that repeats downwards, at an odd column: it survives the reduction only in its neighbours.
    row = torch.zeros(1, 1, 12, 13)
    row[..., 5] = 1
    blurred = {4: 0.25, 6: 0.25}  # 0.4 at 5 is dropped, the outermost 0.05 lie at odd columns too
    kernel = {-2: 0.05, -1: 0.25, 0: 0.4, 1: 0.25, 2: 0.05}
    lines = 2 * sum(kernel[step] for step in (-2, 0, 2))  # of zeros and kept lines in turn, seen from a kept one
    expected = torch.zeros(13)
    expected[5] = 1
    for column, value in blurred.items():
        for step, share in kernel.items():
            expected[column + step] -= lines * 2 * value * share
    torch.testing.assert_close(finest_level(row)[0, 0, 6], expected)


def test_edges_are_what_the_pyramid_loses_and_not_the_blur_alone():
    output, target = images(2, 3, 16, 16)
    x = torch.arange(64.0)
    wave = torch.sin(2 * math.pi * x / 64).expand(1, 1, 64, 64)  # slow: next to nothing is lost
    checks = (x % 2 * 2 - 1).expand(1, 1, 64, 64)  # as fast as can be: all is lost
    inside = (..., slice(8, -8), slice(8, -8))
    assert finest_level(wave)[inside].abs().max() < 0.02
    torch.testing.assert_close(finest_level(checks)[inside], checks[inside], atol=1e-6, rtol=0)
    both = Edge()(output, target)
    apart = (finest_level(output) - finest_level(target)).square().add(1e-6).sqrt().mean()
    torch.testing.assert_close(both, apart)


def test_edges_are_not_drowned_by_bfloat16():
    output, target = (0.9 + 0.01 * image for image in images(3))
    with torch.autocast("cpu", torch.bfloat16):
        rough = Edge()(output, target)
    torch.testing.assert_close(rough, Edge()(output, target))


def test_structure_is_half_of_what_the_similarity_lacks():
    output, target = images(2, 3, 44, 44)
    similarity = structural_similarity_index_measure(
        (output + 1) / 2, (target + 1) / 2, data_range=1.0, sigma=1.5, kernel_size=11
    )
    torch.testing.assert_close(SSIM()(output, target), (1 - similarity) / 2, atol=1e-4, rtol=0)
    assert SSIM()(target, target) == 0
    reduced = [F.avg_pool2d(image, 2) for image in (output, target)]
    torch.testing.assert_close(SSIM(reduce=2)(output, target), SSIM()(*reduced))
    veiled = 0.4 * target + 0.2
    assert SSIM()(veiled, target) > SSIM()(0.9 * target, target)  # contrast counts


def test_the_divergence_is_that_of_torch_summed_over_the_code_and_averaged_over_images():
    generator = torch.Generator().manual_seed(0)
    mean, log_variance = (torch.randn(4, 50, generator=generator) for _ in range(2))
    code = torch.distributions.Normal(mean, (log_variance / 2).exp())
    expected = torch.distributions.kl_divergence(code, torch.distributions.Normal(0, 1)).sum(1).mean()
    torch.testing.assert_close(loss("KL")((mean, log_variance), None), expected)
    half = loss("KL")((mean.bfloat16(), log_variance.bfloat16()), None)
    assert half.dtype == torch.float32 and half.item() == pytest.approx(expected.item(), rel=0.02)


@pytest.mark.parametrize(
    ("name", "real", "restored"),
    [
        ("SoftplusGAN", math.log1p(math.exp(-1.5)), math.log1p(math.exp(1.5))),
        ("LeastSquaresGAN", 0.25, 2.25),
        ("WassersteinGAN", -1.5, 1.5),
    ],
)
def test_losses_of_logits(name, real, restored):
    logits = torch.full((2, 1, 3, 4), 1.5)
    assert loss(name)(logits, torch.ones_like(logits)).item() == pytest.approx(real)
    assert loss(name)(logits, torch.zeros_like(logits)).item() == pytest.approx(restored)


def test_the_softplus_loss_of_a_rejected_image_still_has_a_gradient():
    logits = torch.full((1, 1), -30.0, requires_grad=True)
    loss("SoftplusGAN")(logits, torch.ones(1, 1)).backward()
    assert logits.grad.item() == pytest.approx(-1.0)
