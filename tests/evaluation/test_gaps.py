"""Pixels without data count in no figure: what a result holds there changes nothing."""

import math

import numpy as np
import pytest
import rasterio
import torch

from declouds.errors import UserError
from declouds.evaluation.picture_pairs import PicturePair, read_pair
from declouds.evaluation.protocols import measure
from declouds.evaluation.signatures import describe_image, measure_signatures
from declouds.report.image_pictures import _difference
from declouds.value_range import ValueRange


def images(bands=3, size=48):
    generator = torch.Generator().manual_seed(0)
    clear = torch.rand(bands, size, size, generator=generator) * 2 - 1
    result = (clear + 0.2 * torch.randn(clear.shape, generator=generator)).clamp(-1, 1)
    cloudy = (clear + 0.5).clamp(-1, 1)
    return result, clear, cloudy


def spoiled(image, valid):
    return torch.where(valid, image, torch.full_like(image, 1.0))


@pytest.mark.parametrize("bands", [1, 3, 4])
def test_what_stands_in_a_gap_does_not_count(bands):
    result, clear, cloudy = images(bands)
    valid = torch.ones(1, 48, 48, dtype=torch.bool)
    valid[:, :10] = False
    mask = torch.zeros(1, 48, 48)
    mask[:, :, :24] = 1
    once = measure(result, clear, ("official", "standard"), None, mask, valid)
    again = measure(spoiled(result, valid), clear, ("official", "standard"), None, mask, valid)
    assert once == pytest.approx(again, nan_ok=True)
    signatures = measure_signatures(result, clear, cloudy, mask, valid)
    assert signatures == pytest.approx(
        measure_signatures(spoiled(result, valid), clear, cloudy, mask, valid), nan_ok=True
    )
    facts = describe_image(clear, spoiled(cloudy, valid), mask, valid)
    assert facts == pytest.approx(describe_image(clear, cloudy, mask, valid))


def test_figures_are_those_of_the_image_without_its_gap():
    """A gap of whole rows at the top: the same as to measure what is below."""
    result, clear, cloudy = images()
    valid = torch.ones(1, 48, 48, dtype=torch.bool)
    valid[:, :10] = False
    mask = torch.zeros(1, 48, 48)
    mask[:, :, :20] = 1
    below = [image[:, 10:] for image in (result, clear, cloudy, mask)]
    whole = measure(result, clear, ("official", "standard"), None, mask, valid)
    expected = measure(*below[:2], ("official", "standard"), None, below[3])
    assert whole.pop("standard.ssim") == pytest.approx(expected.pop("standard.ssim"), abs=5e-3)  # mirrors the new edge
    assert whole == pytest.approx(expected, rel=1e-5)
    ours = measure_signatures(result, clear, cloudy, mask, valid)
    theirs = measure_signatures(*below)
    for key in ("signature.cloud_left", "signature.colour_shift"):
        assert ours[key] == pytest.approx(theirs[key])
    assert describe_image(clear, cloudy, mask, valid) == pytest.approx(describe_image(below[1], below[2], below[3]))


def test_no_window_without_a_gap():
    result, clear, _ = images(size=20)
    valid = torch.zeros(1, 20, 20, dtype=torch.bool)
    valid[:, ::4] = True
    values = measure(result, clear, ("official", "standard"), None, None, valid)
    assert math.isnan(values["official.ssim"]) and math.isnan(values["standard.ssim"])
    assert math.isfinite(values["official.psnr"]) and math.isfinite(values["standard.psnr"])


def test_pictures_with_nodata(tmp_path):
    pixels = np.random.default_rng(0).integers(1, 200, (3, 20, 20)).astype(np.uint16)
    holed = pixels.copy()
    holed[:, 3] = 0
    for name, values in (("result", pixels), ("clear", holed)):
        with rasterio.open(tmp_path / f"{name}.tif", "w", driver="GTiff", count=3, height=20, width=20,
                           dtype="uint16", nodata=0) as file:  # fmt: skip
            file.write(values)
    pair = PicturePair("a", tmp_path / "result.tif", tmp_path / "clear.tif", None)
    *_, valid = read_pair(pair, ValueRange(0, 255))
    assert (~valid[0]).nonzero()[:, 0].unique().tolist() == [3] and valid.sum() == 380
    turned = PicturePair("a", tmp_path / "clear.tif", tmp_path / "result.tif", None)
    with pytest.raises(UserError, match="nodata where"):
        read_pair(turned, ValueRange(0, 255))
    assert read_pair(PicturePair("a", pair.result, pair.result, None), ValueRange(0, 255))[3] is None


def test_a_report_runs_the_model_again_and_compares_without_the_gaps():
    result, clear, _ = images()
    valid = torch.ones(1, 48, 48, dtype=torch.bool)
    valid[:, :10] = False
    row = {"official.psnr": measure(result, clear, ("official",), None, None, valid)["official.psnr"]}
    assert _difference(row, spoiled(result, valid), clear, valid) is None
    assert _difference(row, spoiled(result, valid), clear, None) is not None
