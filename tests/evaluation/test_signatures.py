import math

import pytest
import torch
import torch.nn.functional as F

from declouds.evaluation.evaluate_model import evaluate_model
from declouds.evaluation.signatures import describe_image, measure_signatures
from declouds.models.cloud_remover import CloudRemover


def pair(bands=3, height=24, width=20, seed=0):
    """A clear image with detail, a cloudy one, and a mask of what is under cloud."""
    generator = torch.Generator().manual_seed(seed)
    clear = torch.rand(bands, height, width, generator=generator) - 0.5
    mask = torch.zeros(1, height, width)
    mask[:, : height // 2] = 1
    cloudy = clear + 0.4 * mask
    return clear, cloudy, mask


@pytest.mark.parametrize("bands", [1, 3, 13])
@pytest.mark.parametrize("left", [0.0, 0.25, 1.0, -0.2])
def test_what_is_left_of_a_cloud_is_found_again(bands, left):
    clear, cloudy, mask = pair(bands)
    result = clear + left * (cloudy - clear)
    assert measure_signatures(result, clear, cloudy)["signature.cloud_left"] == pytest.approx(left, abs=1e-6)
    assert measure_signatures(result, clear, cloudy, mask)["signature.cloud_left"] == pytest.approx(left, abs=1e-6)


def test_with_a_mask_only_what_is_under_cloud_counts():
    clear, cloudy, mask = pair()
    result = clear + 0.25 * (cloudy - clear) + 0.3 * (1 - mask)  # an error where there is no cloud
    changed = cloudy + 0.1 * (1 - mask)  # and the ground changed there between the two dates
    assert measure_signatures(result, clear, changed, mask)["signature.cloud_left"] == pytest.approx(0.25, abs=1e-6)
    assert measure_signatures(result, clear, changed)["signature.cloud_left"] > 0.3


def test_an_error_that_is_no_cloud_leaves_none():
    clear, cloudy, _ = pair()
    error = torch.ones_like(clear)
    error[:, ::2] = -1  # its mean is 0 under the cloud
    assert measure_signatures(clear + 0.1 * error, clear, cloudy)["signature.cloud_left"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("bands", [1, 3, 4])
def test_detail_that_is_halved_everywhere_loses_three_quarters_of_its_energy(bands):
    clear, cloudy, _ = pair(bands)
    smooth = 0.1 * torch.linspace(-1, 1, 20).expand(bands, 24, 20)  # a ramp has no detail
    assert measure_signatures(smooth + clear / 2, clear, cloudy)["signature.blur"] == pytest.approx(0.75, abs=1e-6)
    assert measure_signatures(smooth + clear, clear, cloudy)["signature.blur"] == pytest.approx(0, abs=1e-6)


def test_a_blurred_image_is_blurred_and_a_noisy_one_is_not():
    clear, cloudy, _ = pair()
    blurred = F.avg_pool2d(F.pad(clear[None], (1, 1, 1, 1), mode="replicate"), 3, stride=1)[0]
    noisy = clear + 0.2 * torch.randn(clear.shape, generator=torch.Generator().manual_seed(1))
    assert 0.8 < measure_signatures(blurred, clear, cloudy)["signature.blur"] < 1
    # white noise of variance 0.04 on white detail of variance 1/12
    assert measure_signatures(noisy, clear, cloudy)["signature.blur"] == pytest.approx(-0.04 * 12, abs=0.08)
    assert measure_signatures(torch.zeros_like(clear), clear, cloudy)["signature.blur"] == pytest.approx(1)


def test_a_tint_is_a_colour_shift_and_brightness_is_not():
    clear, cloudy, _ = pair()
    tint = torch.tensor([0.03, 0.0, -0.03])[:, None, None]
    found = measure_signatures(clear + 0.2 + tint, clear, cloudy)
    assert found["signature.colour_shift"] == pytest.approx(100 * 0.03 * math.sqrt(2) / 2, rel=1e-5)
    assert measure_signatures(clear + 0.2, clear, cloudy)["signature.colour_shift"] == pytest.approx(0, abs=1e-5)
    assert found["signature.blur"] == pytest.approx(0, abs=1e-6)  # and none is taken for another


def test_what_is_not_defined_is_nan():
    clear, cloudy, mask = pair()
    assert math.isnan(measure_signatures(clear, clear, clear)["signature.cloud_left"])
    assert math.isnan(measure_signatures(clear, clear, cloudy, 0 * mask)["signature.cloud_left"])
    assert math.isnan(measure_signatures(clear, clear, torch.cat([cloudy, cloudy]))["signature.cloud_left"])
    assert math.isnan(measure_signatures(clear, torch.full_like(clear, 0.3), cloudy)["signature.blur"])
    assert math.isnan(measure_signatures(clear[:1], clear[:1], cloudy[:1])["signature.colour_shift"])


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (4, 5), (5, 5)])
def test_tiny_images_are_measured_as_far_as_they_can_be(size):
    clear, cloudy, _ = pair(2, *size)
    cloudy = clear + 0.4
    found = measure_signatures(clear + 0.2, clear, cloudy)
    assert found["signature.cloud_left"] == pytest.approx(0.5, abs=1e-6)
    assert found["signature.colour_shift"] == pytest.approx(0, abs=1e-5)
    assert math.isnan(found["signature.blur"]) == (min(size) < 5)


def test_an_image_is_described_by_cover_and_change():
    clear, cloudy, mask = pair()
    assert describe_image(clear, cloudy, mask) == pytest.approx({"image.cover": 0.5, "image.change": 0.2})
    assert math.isnan(describe_image(clear, cloudy)["image.cover"])
    assert math.isnan(describe_image(clear, cloudy[:2], mask)["image.change"])


def test_every_method_of_an_evaluation_is_measured():
    class Halves(CloudRemover):
        method, variants = "DE", ("prior", "diffusion")

        def predict(self, cloudy, noise, *, name=None, variant=None, record=None):
            return cloudy - {"prior": 0.4, "diffusion": 0.2, None: 0.3}[variant]

    clear, _, _ = pair()
    sample = dict(cloudy=clear + 0.4, clear=clear, name="a")
    found = evaluate_model(Halves(), [sample], protocols=("official",), variants=True)
    left = {method: rows[0]["signature.cloud_left"] for method, rows in found.items()}
    # 0.01 of slack: results are clamped to [-1, 1]
    assert left == pytest.approx({"cloudy": 1, "prior": 0, "diffusion": 0.5, "DE": 0.25}, abs=0.01)
    assert [rows[0]["image.change"] for rows in found.values()] == pytest.approx([0.4] * 4)
