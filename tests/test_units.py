from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

from declouds.errors import UserError
from declouds.scenes.rasters.scene import scene_for
from declouds.scenes.sampling.image import samples
from declouds.scenes.sampling.tiles import Window
from declouds.units import Units, check_units, recorded_units
from declouds.value_range import ValueRange

COUNTS, FRACTIONS, BYTES = ValueRange(0, 10000), ValueRange(0, 1), ValueRange(0, 255)
S2_TAGS = dict(scales=(1e-4,) * 2, offsets=(-0.1,) * 2)


@pytest.fixture
def scene(tmp_path):
    """Give a maker of open scenes of two bands with values of a range."""
    opened = []

    def make(low, high, dtype="uint16", describe=None, nodata=None, hole=None):
        path = tmp_path / f"{len(opened)}.tif"
        pixels = np.linspace(low, high, 2 * 80 * 90).reshape(2, 80, 90).astype(dtype)
        if hole is not None:
            pixels[:, :60] = hole
        profile = dict(driver="GTiff", count=2, height=80, width=90, dtype=dtype, nodata=nodata)
        with rasterio.open(path, "w", crs="EPSG:32633", transform=Affine(1, 0, 0, 0, -1, 9), **profile) as file:
            file.write(pixels)
            for name, values in (describe or {}).items():
                setattr(file, name, values)
        opened.append(rasterio.open(path))
        return opened[-1]

    yield make
    for file in opened:
        file.close()


def units(scene, value_range, scale=None, offset=None, **options):
    with scene_for(Path(scene.name), value_range, 2, 2, scale=scale, offset=offset, **options) as chosen:
        return chosen.stored_range


def refusal(*args, **options):
    with pytest.raises(UserError) as caught:
        units(*args, **options)
    assert str(caught.value).startswith(args[0].name) and "\n" not in str(caught.value)
    return str(caught.value)


def test_without_a_word_stored_values_are_the_models(scene):
    assert units(scene(0, 12000), COUNTS) == COUNTS
    assert units(scene(0.0, 1.3, "float32"), FRACTIONS) == FRACTIONS
    assert units(scene(0, 255, "uint8"), BYTES) == BYTES
    odd = ValueRange(0.12345678901234567, 1 / 3)
    assert units(scene(0.1, 0.4, "float64"), odd) == odd


def test_the_files_own_scale_and_offset(scene):
    assert units(scene(1000, 11500, describe=S2_TAGS), FRACTIONS) == ValueRange(1000, 11000)
    landsat = dict(scales=(2.75e-5,) * 2, offsets=(-0.2,) * 2)
    stored = units(scene(7273, 30000, describe=landsat), FRACTIONS)
    assert (stored.low, stored.high) == pytest.approx((7272.727273, 43636.363636))


def test_what_is_given_comes_before_the_files_own_and_replaces_both(scene):
    file = scene(1000, 11500, describe=S2_TAGS)
    assert units(file, COUNTS, 1.0, -1000.0) == ValueRange(1000, 11000)
    assert units(file, COUNTS, 1.0) == COUNTS
    assert units(file, COUNTS, None, -1000.0) == ValueRange(1000, 11000)
    assert units(file, FRACTIONS, 1e-4) == ValueRange(0, 10000)  # and no offset
    assert units(scene(0, 1, "float32"), BYTES, 255.0) == FRACTIONS
    assert units(scene(0, 255, "uint16"), BYTES, 1.0) == BYTES  # said, so not a guess any more


@given(st.floats(1e-6, 1e6), st.floats(-1e4, 1e4), st.floats(-1e4, 1e4), st.floats(1, 1e4))
def test_stored_values_stand_for_model_values(scale, offset, low, length):
    value_range = ValueRange(low, low + length)
    stored = Units(scale, offset).stored(value_range)
    tolerance = 1e-9 * (abs(low) + abs(offset) + length)
    assert stored.low * scale + offset == pytest.approx(value_range.low, abs=tolerance)
    assert stored.high * scale + offset == pytest.approx(value_range.high, abs=tolerance)


def test_no_last_digit_keeps_a_type_from_fitting(scene):
    limits = ValueRange(-0.1, 65535 * 1e-4 - 0.1)
    assert units(scene(1000, 60000, describe=S2_TAGS), limits) == ValueRange(0, 65535)


def test_bands_that_differ_in_their_units(scene):
    file = scene(0, 9000, describe=dict(scales=(1e-4, 1e-4), offsets=(0, -0.1)))
    message = refusal(file, FRACTIONS)
    assert "differ in scale and offset (0.0001 -0.1, 0.0001 0)" in message and "--scale and --offset" in message
    assert units(file, FRACTIONS, 1e-4, 0.0) == COUNTS
    with scene_for(Path(file.name), FRACTIONS, 1, 1, asked=["2"]) as chosen:  # only the chosen bands count
        assert chosen.stored_range == ValueRange(1000, 11000)


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_a_scale_that_is_none(scene, scale):
    assert "a scale is a number above 0" in refusal(scene(0, 9000), COUNTS, scale)
    assert "offset a number" in refusal(scene(0, 9000), COUNTS, 1.0, float("nan"))
    if scale < 0:
        assert "by the file's own" in refusal(scene(0, 9000, describe=dict(scales=(scale,) * 2)), COUNTS)


@pytest.mark.parametrize(
    ("make", "value_range", "given", "parts"),
    [
        # the files own tags say reflectance, and the model was trained on stored values less the offset
        (
            dict(low=1100, high=9000, describe=S2_TAGS), COUNTS, (None, None),
            ["is uint16", "trained on values 0 to 10000, which would be 1000 to 1.00001e+08 as stored here",
             "stored * 0.0001 - 0.1, by the file's own scale and offset", "the scene has 1100 to 9000",
             "--scale 1 --offset -1000 would fit"],
        ),
        (
            dict(low=1100, high=9000, describe=S2_TAGS, dtype="float32"), COUNTS, (None, None),
            ["its values (1100 to 9000), which stand for 0.01 to 0.8 (stored * 0.0001 - 0.1", "trained on (0 to 10000)",
             "--scale 1 --offset -1000 would fit"],
        ),
        # the user is mistaken, and the file knows better
        (
            dict(low=1100, high=9000, describe=S2_TAGS), FRACTIONS, (1.0, None),
            ["by --scale and --offset", "--scale 0.0001 --offset -0.1 would fit"],
        ),
        (dict(low=0.01, high=0.6, dtype="float32"), COUNTS, (None, None), ["--scale 10000 --offset 0 would fit; "]),
        (dict(low=0.01, high=0.6, dtype="float32"), BYTES, (None, None), ["is float32", "--scale 255 --offset 0"]),
        (
            dict(low=1200, high=9000), FRACTIONS, (None, None),
            ["--scale 0.0001 --offset 0 would fit (or --offset -0.1: Sentinel-2 since baseline 04.00)"],
        ),
        (dict(low=10, high=250, dtype="uint8"), FRACTIONS, (None, None), ["--scale 0.00392157 --offset 0 would fit; "]),
        (dict(low=0, high=250, dtype="uint16"), BYTES, (None, None), ["--scale 1 --offset 0 would fit; ", "to uint8"]),
    ],
)  # fmt: skip
def test_the_message_explains_and_advises(scene, make, value_range, given, parts):
    message = refusal(scene(**make), value_range, *given)
    for part in parts:
        assert part in message, message


@pytest.mark.parametrize(
    ("make", "value_range"),
    [
        (dict(low=30000, high=60000), COUNTS),
        (dict(low=-50, high=-1, dtype="float32"), COUNTS),
        (dict(low=0, high=100, dtype="uint8"), COUNTS),
        (dict(low=0, high=9000, dtype="uint16"), ValueRange(-1000, 10000)),
    ],
)
def test_where_nothing_usual_fits_none_is_advised(scene, make, value_range):
    message = refusal(scene(**make), value_range)
    assert "would fit" not in message and ("rescale the scene" in message or "convert the scene" in message)


def test_the_advice_can_be_taken(scene):
    file = scene(1100, 9000, describe=S2_TAGS)
    assert "--scale 1 --offset -1000 would fit" in refusal(file, COUNTS)
    assert units(file, COUNTS, 1.0, -1000.0) == ValueRange(1000, 11000)
    small = scene(10, 250, "uint8")
    assert "--scale 0.00392157" in refusal(small, FRACTIONS)
    assert units(small, FRACTIONS, 0.00392157).high == pytest.approx(255, abs=1e-3)


@pytest.mark.parametrize("trained", [Units(1e-4, -0.1), Units(2e-4, -0.05)])
def test_the_units_of_the_training_images_are_advised_first(scene, trained):
    file = scene(1100, 5000)
    given = f"--scale {trained.scale:g} --offset {trained.offset:g}"
    assert f"{given} (as for the training images) would fit" in refusal(file, FRACTIONS, trained=trained)
    assert "--scale 0.0001 --offset 0 would fit" in refusal(file, FRACTIONS, trained=Units(50.0, 0.0))


@pytest.mark.parametrize(
    ("units", "known"),
    [
        (dict(scale=1e-4, offset=-0.1), True),
        (dict(scale=1, offset=0), True),
        (dict(scale=0, offset=0), False),
        (dict(scale=float("nan"), offset=0), False),
        (dict(scale=1, offset=float("inf")), False),
        (dict(scale="1", offset=0), False),
        (dict(scale=1), False),
        ([1, 0], False),
    ],
)
def test_units_in_a_record(units, known):
    found = recorded_units(dict(units=units))
    assert (found is not None) == known
    if found is not None:
        assert (found.scale, found.offset) == (units["scale"], units["offset"])
    assert recorded_units(None) is recorded_units({}) is None


def test_dark_integers_are_fine_unless_a_scale_is_said(scene):
    assert units(scene(0, 9), COUNTS) == COUNTS
    assert "are not in the units" in refusal(scene(0, 9, "int32"), COUNTS, 1e-3)


@pytest.mark.parametrize("dtype", ["float32", "uint16"])
def test_values_of_eight_bits_are_not_those_of_a_wide_range(scene, dtype):
    message = refusal(scene(0, 255, dtype), COUNTS)
    assert "8-bit" in message and "--scale 1" in message
    assert units(scene(0, 255, dtype), COUNTS, 1.0) == COUNTS  # said, so not a guess any more
    assert units(scene(0, 256, dtype), COUNTS) == COUNTS


def test_very_dark_integers_are_taken_with_a_word(scene, caplog):
    assert units(scene(0, 9), COUNTS) == COUNTS
    assert "0 to 9" in caplog.text and "dark" in caplog.text


def test_a_band_of_one_value_is_named(scene, caplog):
    file = scene(100, 9000)
    assert units(file, COUNTS) == COUNTS and not caplog.text
    with rasterio.open(file.name, "r+") as again:
        again.write(np.full((80, 90), 7, "uint16"), 2)
    assert units(file, COUNTS) == COUNTS
    assert "band 2" in caplog.text and " 7 " in caplog.text and "empty" in caplog.text


def test_a_pixel_that_is_zero_in_one_band_counts_as_data(scene):
    """Nodata 0 can be measured: only a pixel that is 0 in all bands is empty, and the others are looked at."""
    file = scene(0, 9, "float32", nodata=0)
    with rasterio.open(file.name, "r+") as again:
        again.write(np.stack([np.zeros((80, 90)), np.full((80, 90), 0.5)]).astype("float32"))
    assert "0 to 0.5" in refusal(file, COUNTS)


def test_values_without_data_do_not_count(scene):
    file = scene(0.2, 0.9, "float32", nodata=-9999, hole=-9999)
    assert units(file, FRACTIONS) == FRACTIONS
    untold = scene(0.2, 0.9, "float32", hole=-9999)
    assert units(untold, FRACTIONS) == FRACTIONS  # less than 99 % of the values
    assert units(scene(0.2, 0.9, "float32", hole=np.nan), FRACTIONS) == FRACTIONS
    dark = scene(0.2, 0.9, "float32", hole=0.125)
    assert "its values (0.125 to 0.9)" in refusal(dark, COUNTS)
    assert "its values (0.462" in refusal(dark, COUNTS, nodata=0.125)


def test_an_image_without_any_data(scene):
    assert units(scene(0, 0, nodata=0), COUNTS) == COUNTS


def test_every_corner_is_looked_at_and_no_more_than_samples():
    seen = []

    def read(window):
        seen.append(window)
        return np.full((1, window.height, window.width), 500, np.uint16), np.ones((window.height, window.width), bool)

    check_units("the array", samples(read, 20000, 30), COUNTS, Units())
    assert len(seen) == 25 and {(w.height, w.width) for w in seen} == {(64, 30)}
    assert Window(0, 0, 64, 30) in seen and Window(20000 - 64, 0, 64, 30) in seen
