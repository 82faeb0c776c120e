import json
import math

import numpy as np
import pytest
import torch

from declouds.evaluation.official import LUMA, measure_official, truncate_to_8_bit
from declouds.evaluation.picture_pairs import find_pairs, read_pair, read_split
from declouds.value_range import ValueRange


def picture(bands=3, height=16, width=20, seed=0):
    levels = np.random.default_rng(seed).integers(0, 200, (bands, height, width), dtype=np.uint8)
    return torch.from_numpy(ValueRange(0, 255).to_model(levels))


def ssim_of_windows(a, b):
    """Wang et al. 2004, equation 13, window by window."""
    found = []
    for row in range(a.shape[0] - 6):
        for column in range(a.shape[1] - 6):
            x, y = (image[row : row + 7, column : column + 7].ravel() for image in (a, b))
            (vx, cov), (_, vy) = np.cov(x, y)
            c1, c2 = 2.55**2, 7.65**2
            found.append(
                (2 * x.mean() * y.mean() + c1)
                * (2 * cov + c2)
                / ((x.mean() ** 2 + y.mean() ** 2 + c1) * (vx + vy + c2))
            )
    return np.mean(found)


@pytest.mark.parametrize(
    ("data", "images", "psnr", "ssim"), [("rice1", 16, "18.151", "0.7948"), ("rice2", 24, "24.171", "0.7789")]
)
def test_the_known_figures_of_the_cloudy_images(shared, data, images, psnr, ssim):
    folder = shared / "data" / data
    names, _ = read_split(f"{folder / 'split.json'}:test")
    measured = []
    for pair in find_pairs(folder / "cloud", folder / "label", names=names):
        cloudy, clear, *_ = read_pair(pair, None)
        measured.append(measure_official(cloudy, clear))
    assert len(measured) == images
    assert f"{np.mean([values['psnr'] for values in measured]):.3f}" == psnr
    assert f"{np.mean([values['ssim'] for values in measured]):.4f}" == ssim
    assert json.loads((folder / "split.json").read_text())["test"] == names


def test_every_8_bit_level_survives_and_fractions_are_cut():
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    assert torch.equal(
        truncate_to_8_bit(torch.from_numpy(ValueRange(0, 255).to_model(levels))), torch.from_numpy(levels).double()
    )
    between = (torch.tensor([0.0, 10.9, 254.5, 255.0]) / 127.5) - 1
    assert truncate_to_8_bit(between).tolist() == [0, 10, 254, 255]
    assert truncate_to_8_bit(torch.tensor([-3.0, 3.0])).tolist() == [0, 255]


def test_equal_images_and_a_known_shift():
    clear = picture()
    assert measure_official(clear, clear) == {"psnr": math.inf, "ssim": pytest.approx(1, abs=1e-12)}
    shifted = measure_official(clear + 10 / 127.5, clear)
    assert shifted["psnr"] == pytest.approx(20 * math.log10(255 / 10), abs=1e-9)
    assert 0.9 < shifted["ssim"] < 1


def test_ssim_is_that_of_the_luma_window_by_window():
    result, clear = picture(seed=1), picture(seed=2)
    grey = [np.tensordot(LUMA, truncate_to_8_bit(image).numpy(), 1) for image in (result, clear)]
    assert measure_official(result, clear)["ssim"] == pytest.approx(ssim_of_windows(*grey), abs=1e-12)


@pytest.mark.parametrize("bands", [1, 4, 5])
def test_without_three_bands_ssim_and_lpips_are_the_mean_over_repeated_bands(bands):
    result, clear = picture(bands, seed=1), picture(bands, seed=2)
    seen = []

    def lpips(a, b):
        seen.append((a, b))
        return float(len(seen))

    values = measure_official(result, clear, lpips)
    per_band = [measure_official(result[i].expand(3, -1, -1), clear[i].expand(3, -1, -1))["ssim"] for i in range(bands)]
    assert values["ssim"] == pytest.approx(np.mean(per_band), abs=1e-12)
    assert values["lpips"] == pytest.approx((bands + 1) / 2)
    assert all(a.shape == (3, 16, 20) for a, _ in seen)
    assert seen[0][0].max() > 100  # fed 0..255


def test_an_image_smaller_than_the_window_has_no_ssim():
    clear = picture(height=6)
    values = measure_official(clear + 0.1, clear)
    assert math.isnan(values["ssim"])
    assert math.isfinite(values["psnr"])
