"""The metrics usual for SEN12MS-CR, worked out by hand."""

import math

import pytest
import torch

from declouds.errors import UserError
from declouds.evaluation.protocols import check_protocols, measure
from declouds.evaluation.reflectance import measure_reflectance
from declouds.evaluation.standard import measure_standard


def image(*spectra):
    """An image of reflectances, one row, a spectrum for each pixel, in [-1, 1]."""
    return torch.tensor(spectra).T[:, None, :] * 2 - 1


def test_errors_are_in_reflectance():
    clear, result = image((0.2, 0.4), (0.6, 0.8)), image((0.3, 0.4), (0.6, 0.5))
    values = measure_reflectance(result, clear)
    assert values["mae"] == pytest.approx((0.1 + 0.3) / 4, rel=1e-5)
    assert values["rmse"] == pytest.approx(math.sqrt((0.01 + 0.09) / 4), rel=1e-5)
    assert values["psnr"] == pytest.approx(10 * math.log10(4 / 0.1), rel=1e-5)


def test_the_angle_is_of_spectra_whatever_their_length():
    assert measure_reflectance(image((0.4, 0.8)), image((0.2, 0.4)))["sam"] == pytest.approx(0, abs=1e-3)
    values = measure_reflectance(image((0.5, 0.0), (0.0, 0.0)), image((0.3, 0.3), (0.2, 0.1)))
    assert values["sam"] == pytest.approx(45, abs=1e-3)  # the black pixel has no angle
    assert math.isnan(measure_reflectance(image((0.5,)), image((0.3,)))["sam"])


def test_cloudy_and_clear_pixels_apart_without_nodata():
    clear = image((0.2, 0.2), (0.2, 0.2), (0.2, 0.2))
    result = image((0.5, 0.5), (0.3, 0.3), (0.9, 0.9))
    mask, valid = torch.tensor([[[1.0, 0.0, 1.0]]]), torch.tensor([[[True, True, False]]])
    values = measure_reflectance(result, clear, mask, valid)
    assert values["mae.cloudy_pixels"] == pytest.approx(0.3, rel=1e-5)
    assert values["rmse.clear_pixels"] == pytest.approx(0.1, rel=1e-5)
    assert values["mae"] == pytest.approx(0.2, rel=1e-5)
    nowhere = measure_reflectance(result, clear, torch.zeros_like(mask))
    assert math.isnan(nowhere["rmse.cloudy_pixels"]) and math.isnan(nowhere["sam.cloudy_pixels"])


def test_it_agrees_with_the_standard_protocol():
    torch.manual_seed(0)
    clear = torch.rand(4, 24, 24) - 0.5
    result = clear + 0.1 * torch.randn_like(clear)
    ours, standard = measure_reflectance(result, clear), measure_standard(result, clear)
    for name in ("psnr", "ssim", "sam"):
        assert ours[name] == pytest.approx(standard[name], rel=1e-4), name
    assert 2 * ours["mae"] == pytest.approx(standard["mae"], rel=1e-5)
    assert measure_reflectance(clear, clear)["psnr"] == math.inf


def test_it_is_chosen_by_name_and_not_part_of_both():
    assert check_protocols(["both"]) == ("official", "standard")
    values = measure(image((0.5, 0.5)), image((0.4, 0.4)), check_protocols(["reflectance"]))
    assert values["reflectance.rmse"] == pytest.approx(0.1, rel=1e-5)
    assert set(values) == {f"reflectance.{name}" for name in ("mae", "rmse", "psnr", "ssim", "sam")}
    with pytest.raises(UserError, match="choose official, standard, reflectance or both"):
        check_protocols(["reflect"])
