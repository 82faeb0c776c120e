import math

import pytest
import torch

from declouds.evaluation.standard import measure_standard


def image(bands=3, size=24, seed=0):
    return torch.rand(bands, size, size + 8, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_equal_images():
    clear = image()
    values = measure_standard(clear, clear)
    assert values["psnr"] == values["psnr.band2"] == math.inf
    assert values["ssim"] == pytest.approx(1, abs=1e-6)
    assert (values["mae"], values["ergas"]) == (0, 0)
    assert values["sam"] == pytest.approx(0, abs=1e-5)


def test_flat_images_by_hand():
    clear, result = torch.zeros(3, 16, 16), torch.full((3, 16, 16), 0.2)  # 0.5 and 0.6 counted from zero
    values = measure_standard(result, clear)
    assert values["psnr"] == pytest.approx(20 * math.log10(2 / 0.2), abs=1e-5)
    assert values["mae"] == values["mae.band3"] == pytest.approx(0.2, abs=1e-6)
    assert values["ergas"] == pytest.approx(100 * 0.1 / 0.5, abs=1e-4)
    assert values["ssim"] == pytest.approx((2 * 0.5 * 0.6 + 1e-4) / (0.25 + 0.36 + 1e-4), abs=1e-5)
    assert values["sam"] == pytest.approx(0, abs=1e-5)


def test_the_spectral_angle_is_in_degrees_and_survives_black_pixels():
    clear, result = torch.full((2, 16, 16), -1.0), torch.full((2, 16, 16), -1.0)
    clear[0], result[1] = 1, 1  # at right angles
    assert measure_standard(result, clear)["sam"] == pytest.approx(90)
    clear[:, :8] = -1  # half the pixels without a direction
    result[:, 8:] = clear[:, 8:]
    assert measure_standard(result, clear)["sam"] == pytest.approx(0, abs=1e-5)
    black = torch.full((2, 16, 16), -1.0)
    values = measure_standard(black, black)
    assert math.isnan(values["sam"]) and math.isnan(values["ergas"])
    assert values["psnr"] == math.inf


def test_bands_are_measured_apart_and_one_band_has_no_angle():
    clear, result = image(4), image(4)
    result[2] = (result[2] * 0.5).clamp(-1, 1)
    values = measure_standard(result, clear)
    assert values["psnr.band1"] == values["psnr.band4"] == math.inf
    assert math.isfinite(values["psnr.band3"])
    assert values["mae"] == pytest.approx(values["mae.band3"] / 4)
    assert "sam" not in measure_standard(image(1), image(1, seed=1))


def test_cloudy_and_clear_pixels_add_up_to_all():
    clear, result = image(seed=1), image(seed=2)
    mask = (image(1, seed=3) > 0.4).float()
    result = torch.where(mask.bool(), result, clear * 0.9)
    values = measure_standard(result, clear, mask=mask)
    share = mask.mean().item()
    assert 0.2 < share < 0.4
    assert values["mae"] == pytest.approx(
        share * values["mae.cloudy_pixels"] + (1 - share) * values["mae.clear_pixels"], abs=1e-7
    )
    error = {key: 4 / 10 ** (values[key] / 10) for key in ("psnr", "psnr.cloudy_pixels", "psnr.clear_pixels")}
    assert error["psnr"] == pytest.approx(
        share * error["psnr.cloudy_pixels"] + (1 - share) * error["psnr.clear_pixels"], rel=1e-5
    )
    assert values["psnr.clear_pixels"] > values["psnr.cloudy_pixels"] + 10


def test_without_cloudy_pixels_their_figures_are_not_defined():
    clear, result = image(seed=1), image(seed=2)
    values = measure_standard(result, clear, mask=torch.zeros(1, 24, 32))
    assert math.isnan(values["psnr.cloudy_pixels"]) and math.isnan(values["mae.cloudy_pixels"])
    assert values["mae.clear_pixels"] == pytest.approx(values["mae"])
    assert "psnr.cloudy_pixels" not in measure_standard(result, clear)


def test_a_small_image_has_no_ssim():
    clear = image(size=10)
    assert math.isnan(measure_standard(clear * 0.5, clear)["ssim"])
