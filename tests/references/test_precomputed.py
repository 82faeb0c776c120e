"""Priors read from a folder."""

import numpy as np
import pytest
import torch

from declouds.errors import UserError
from declouds.image_io import write_image
from declouds.registry import REFERENCES


@pytest.fixture
def folder(tmp_path):
    pixels = np.arange(3 * 6 * 8, dtype=np.uint8).reshape(3, 6, 8)
    write_image(tmp_path / "a.png", pixels)
    write_image(tmp_path / "b.tif", pixels[:, ::-1].copy())
    return tmp_path


def build(folder, **arguments):
    return REFERENCES.build(dict(type="Precomputed", folder=str(folder), **arguments))


def test_priors_come_by_name_in_the_order_of_the_batch(folder):
    reference = build(folder)
    assert reference.needs_names is True
    prior = reference(torch.zeros(2, 3, 6, 8), ["b", "a"])
    expected = torch.arange(3 * 6 * 8).reshape(3, 6, 8) / 127.5 - 1
    assert prior.dtype == torch.float32
    torch.testing.assert_close(prior[1], expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(prior[0], expected.flip(1), rtol=0, atol=1e-6)


def test_the_pictures_have_the_bands_of_the_image_and_not_those_of_further_sources(folder):
    cloudy = torch.zeros(1, 5, 6, 8)
    torch.testing.assert_close(build(folder, bands=3)(cloudy, ["a"]), build(folder)(cloudy[:, :3], ["a"]))


def test_value_range_and_other_types(folder):
    write_image(folder / "c.tif", np.full((3, 6, 8), 2500, dtype=np.uint16))
    prior = build(folder, value_range=(0, 10000))(torch.zeros(1, 3, 6, 8), ["c"])
    torch.testing.assert_close(prior, torch.full((1, 3, 6, 8), -0.5))
    with pytest.raises(UserError, match=r"c\.tif.*uint16.*value_range"):
        build(folder)(torch.zeros(1, 3, 6, 8), ["c"])


@pytest.mark.parametrize(
    ("shape", "names", "says"),
    [
        ((1, 3, 6, 8), ["missing"], r"missing\.png.*no prior"),
        ((1, 3, 6, 4), ["a"], r"a\.png.*3 bands of 6x8 pixels.*3 bands of 6x4 pixels.*crop"),
        ((1, 4, 6, 8), ["b"], r"b\.tif.*3 bands.*4 bands"),
        ((2, 3, 6, 8), ["a"], "one per image \\(2\\), got 1"),
        ((1, 3, 6, 8), None, "got none.*for scenes, use"),
    ],
)
def test_bad_input_names_the_file_and_the_fix(folder, shape, names, says):
    with pytest.raises(UserError, match=says):
        build(folder)(torch.zeros(shape), names)


def test_missing_folder(tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        build(tmp_path / "nowhere")


def test_two_pictures_of_one_sample(folder):
    write_image(folder / "a.tif", np.zeros((3, 6, 8), dtype=np.uint8))
    with pytest.raises(UserError, match=r"a\.png.*second prior, a\.tif"):
        build(folder).find("a")


def test_broken_picture_and_nan(folder):
    whole = (folder / "a.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    values = np.zeros((3, 6, 8), dtype=np.float32)
    values[1, 2, 3] = np.nan
    write_image(folder / "nan.tif", values)
    reference = build(folder, value_range=(0, 1))
    with pytest.raises(UserError, match=r"cut\.png"):
        reference(torch.zeros(1, 3, 6, 8), ["cut"])
    with pytest.raises(UserError, match=r"nan\.tif.*non-finite values: fill"):
        reference(torch.zeros(1, 3, 6, 8), ["nan"])
