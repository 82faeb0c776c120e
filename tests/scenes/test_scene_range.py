"""The range of values that is found in a scene, for models of any units."""

import numpy as np
import pytest

from declouds.errors import UserError
from declouds.scenes.sampling.scene_range import find_range
from declouds.units import Units

FRACTIONS = np.random.default_rng(0).beta(2, 6, (3, 80, 90))  # reflectances, mostly dark
FRACTIONS[:, :20, :20] = 0.9  # a cloud
LANDSAT = Units(2.75e-5, -0.2, "the file's own scale and offset")


def reader(values, valid=None):
    def read(window):
        part = values[(..., *window.slices)]
        return part, np.ones(part.shape[1:], bool) if valid is None else valid[window.slices]

    return read


def found(values, units=Units(), valid=None, **more):  # noqa: B008
    return find_range("s.tif", reader(values, valid), *values.shape[1:], units, **more)


@pytest.mark.parametrize(
    ("values", "units", "stored", "reflectance"),
    [
        ((255 * FRACTIONS).astype(np.uint8), Units(), (0, 255), (0, 255)),
        ((90 + 60 * FRACTIONS).astype(np.uint8), Units(), (0, 255), (0, 255)),  # hazy: not stretched
        ((60 * FRACTIONS).astype(np.uint8), Units(), (0, 55), (0, 255)),  # dim
        (FRACTIONS.astype(np.float32), Units(), (0, 0.918), (0, 1)),
        (0.3 + FRACTIONS / 2, Units(), (0, 0.76), (0, 1)),  # haze everywhere
        ((10_000 * FRACTIONS).astype(np.uint16), Units(), (0, 9180), (0, 10_000)),
        ((10_000 * FRACTIONS).astype(np.int16), Units(), (0, 9180), (0, 10_000)),
        ((10_000 * FRACTIONS + 1000).astype(np.uint16), Units(), (1000, 10_180), (1000, 11_000)),
        ((2000 * FRACTIONS + 3000).astype(np.uint16), Units(), (1000, 4836), (1000, 11_000)),
        ((40_000 * FRACTIONS + 7273).astype(np.uint16), Units(), (6793, 44_000), (6793, 44_000)),
        ((40_000 * FRACTIONS + 7273).astype(np.uint16), LANDSAT, (7273, 44_000), (7273, 43_636)),
        ((6000 * FRACTIONS + 17_273).astype(np.uint16), LANDSAT, (7273, 22_800), (7273, 43_636)),  # hazy
        (255 * FRACTIONS, Units(), (0, 234), (0, 255)),
    ],
)
def test_what_the_values_stand_for(values, units, stored, reflectance):
    for given, range_ in ((stored, found(values, units).stored), (reflectance, found(values, units).reflectance)):
        assert (range_.low, range_.high) == pytest.approx(given, rel=0.02, abs=0.02)


def test_all_bands_have_one_range_so_that_colours_stay():
    values = np.stack([FRACTIONS[0] * 0.1, FRACTIONS[1] * 0.5, FRACTIONS[2]])
    assert found(values).stored.high == pytest.approx(np.percentile(values, 99.9) * 1.02, rel=0.01)


def test_a_few_extreme_values_do_not_count():
    values = FRACTIONS.astype(np.float32)
    values[:, 50, 50:52] = 1000, -1000
    assert found(values).stored.high < 1


def test_pixels_without_data_and_black_borders_do_not_count():
    counts = (20_000 * FRACTIONS + 7273).astype(np.uint16)
    valid = np.ones((80, 90), bool)
    valid[:, 60:] = False
    inside = found(counts[..., :60]).stored
    counts[..., 60:] = 65535
    assert found(counts, valid=valid).stored == inside
    counts[..., 60:] = 0
    assert found(counts).stored == inside


def test_slightly_negative_reflectances_keep_their_place():
    assert -0.1 < found(FRACTIONS - 0.05).stored.low < -0.04


def test_a_large_scene_gets_the_range_of_the_same_parts_each_time():
    values = np.random.default_rng(1).integers(100, 5000, (3, 1500, 1300)).astype(np.uint16)
    reads = []

    def read(window):
        reads.append(window)
        return reader(values)(window)

    one = find_range("s.tif", read, 1500, 1300, Units())
    assert len(reads) == 256 and max(w.height * w.width for w in reads) <= 64 * 64
    assert one == find_range("s.tif", reader(values), 1500, 1300, Units())
    assert one.stored.high == pytest.approx(np.percentile(values, 99.9) * 1.02, rel=0.01)


def test_a_few_pixels_of_a_large_scene_are_found():
    valid = np.zeros((2000, 2100), bool)
    valid[70:90, 70:90] = True  # between the windows
    values = np.full((3, 2000, 2100), 60_000, np.uint16)
    values[:, 70:90, 70:90] = np.random.default_rng(2).integers(100, 900, (3, 20, 20))
    assert found(values, valid=valid).stored.high == pytest.approx(910, rel=0.03)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((3, 20, 20), np.uint16), r"s\.tif: has no pixel with data .*--nodata"),
        (np.full((3, 20, 20), 7, np.uint8), r"nearly constant \(7 to 7\).*daylight.*--value-range LOW,HIGH"),
        (np.random.default_rng(0).integers(1, 6, (3, 20, 20)).astype(np.uint8), "nearly constant"),
        (np.full((3, 20, 20), 0.25) + 1e-6 * np.arange(20), "nearly constant"),
        (np.random.default_rng(0).normal(-12, 3, (3, 20, 20)), "negative .* radar in decibels.*give an optical image"),
    ],
)
def test_what_tells_no_range_is_refused(values, message):
    with pytest.raises(UserError, match=message):
        found(values)
    with pytest.raises(UserError, match="no pixel with data"):
        found(values, valid=np.zeros(values.shape[1:], bool))


def test_a_given_range_is_taken_as_it_is():
    given = found(np.full((3, 20, 20), 7, np.uint8), given=(5, 90))
    assert (given.stored.low, given.stored.high) == (given.reflectance.low, given.reflectance.high) == (5, 90)
