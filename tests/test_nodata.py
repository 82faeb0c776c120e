import numpy as np
import pytest

from declouds.nodata import as_stored, fill_nodata, merge, valid_pixels
from declouds.value_range import ValueRange


def test_a_value_that_can_be_measured_marks_a_pixel_if_all_bands_have_it():
    """(0, 35) is dark water; (0, 0) is empty."""
    values = np.array([[[0, 35, 0]], [[35, 0, 0]]], np.uint8)
    assert valid_pixels(values, 0, stored_range=ValueRange(0, 255)).tolist() == [[True, True, False]]
    values = np.array([[[-9999, 35, 0]], [[35, -9999, 0]]], np.int16)
    assert valid_pixels(values, -9999, stored_range=ValueRange(0, 10000)).tolist() == [[False, False, True]]


def test_a_pixel_lacks_data_if_any_band_does():
    values = np.array([[[0, 5, 5]], [[5, 0, 5]]], np.uint8)
    assert valid_pixels(values, 0).tolist() == [[False, False, True]]
    assert valid_pixels(values, None).all()
    assert valid_pixels(values, None, np.array([[[255, 0, 255]], [[255, 255, 255]]])).tolist() == [[True, False, True]]


def test_nan_and_infinity_are_never_data():
    values = np.array([[[np.nan, np.inf, -np.inf, -9999, 0.5]]], np.float32)
    assert valid_pixels(values, None).tolist() == [[False, False, False, True, True]]
    assert valid_pixels(values, -9999).tolist() == [[False, False, False, False, True]]
    assert valid_pixels(values, np.nan).tolist() == [[False, False, False, True, True]]


@pytest.mark.parametrize(("nodata", "dtype"), [(-9999, "uint8"), (256, "uint8"), (1.5, "uint16"), (np.nan, "int16")])
def test_a_value_that_the_type_cannot_hold_marks_nothing(nodata, dtype):
    assert as_stored(nodata, np.dtype(dtype)) is None
    assert valid_pixels(np.full((1, 2, 2), 1, dtype), nodata).all()


def test_nodata_in_single_precision_is_compared_in_single_precision():
    assert not valid_pixels(np.full((1, 1, 1), 0.1, np.float32), 0.1).any()


def test_the_network_sees_the_nearest_pixel_in_place_of_nodata():
    image = np.array([[[1, -1, -1, 4]], [[10, -1, -1, 40]]], np.float32)
    valid = np.array([[True, False, False, True]])
    assert fill_nodata(image, valid).tolist() == [[[1, 1, 4, 4]], [[10, 10, 40, 40]]]


@pytest.mark.parametrize(
    ("dtype", "low", "high", "nodata", "expected"),
    [
        ("uint8", 0, 255, 0, [1, 255]),
        ("uint8", 0, 255, 255, [0, 254]),
        ("uint16", 0, 10000, 10000, [0, 9999]),
        ("int16", -100, 10000, -100, [-99, 10000]),
        ("int16", 0, 10000, -32768, [0, 10000]),
        ("float32", 0, 1, 0, [np.nextafter(np.float32(0), np.float32(1)), 1]),
    ],
)
def test_a_valid_result_is_never_the_nodata_value(dtype, low, high, nodata, expected):
    original = np.full((1, 1, 2), 7, dtype)
    clear = np.array([[[-1, 1]]], np.float32)
    result = merge(original, clear, np.ones((1, 2), bool), ValueRange(low, high), nodata)
    assert result.dtype == dtype
    assert result[0, 0].tolist() == expected


def test_results_are_rounded_and_clipped_never_wrapped():
    original = np.zeros((1, 1, 4), np.uint8)
    clear = np.array([[[-3, 3, 0, 0.001]]], np.float32)
    result = merge(original, clear, np.ones((1, 4), bool), ValueRange(0, 255), None)
    assert result[0, 0].tolist() == [0, 255, 128, 128]


def test_pixels_without_data_keep_every_bit():
    original = np.array([[[np.nan, -0.0, 3.5]]], np.float32)
    original.view(np.uint32)[0, 0, 0] = 0x7FC12345  # a NaN with a message
    result = merge(original, np.zeros((1, 1, 3), np.float32), np.array([[False, False, True]]), ValueRange(0, 1), None)
    assert result.view(np.uint32)[0, 0, :2].tolist() == [0x7FC12345, 0x80000000]
    assert result[0, 0, 2] == 0.5


def test_the_largest_numbers_of_a_type_are_never_data():
    """ArcGIS writes the least float32 where a raster has no data, often without a nodata value."""
    values = np.array([[[-3.4028234663852886e38, 0.2, 1e38, -1e30]]], np.float32)
    assert valid_pixels(values, None).tolist() == [[False, True, False, True]]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_the_lowest_number_of_each_type_is_never_data(dtype):
    lowest = np.finfo(dtype).min
    values = np.array([[[lowest, 0.25, np.float32(-3.4028234663852886e38)]]], dtype)  # infinite in half precision
    assert valid_pixels(values, None).tolist() == [[False, True, False]]
