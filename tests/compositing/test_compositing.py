"""Composites of several dates: which date a pixel takes, in what colour, and by how much a date is shifted."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.ndimage import shift as move

from declouds.compositing.air import Air
from declouds.compositing.colour import ColourMatch, Usual, match_colour, match_colours
from declouds.compositing.composite import composite
from declouds.compositing.ground import Ground
from declouds.compositing.shift import find_shift
from declouds.wavelengths import SENTINEL2


def ground(size=128, bands=3, seed=0):
    noise = np.random.default_rng(seed).standard_normal((bands, size, size))
    return (1000 + 4000 * gaussian_filter(noise, (0, 2, 2))).astype(np.float32)


def cells(size=128, side=16):
    rows, cols = np.mgrid[:size, :size] // side
    return (rows * (size // side) + cols).ravel()


def constant(*values):
    return np.array(values, np.float32).reshape(-1, 1, 1, 1)


@pytest.mark.parametrize(
    ("how", "gaps", "clear", "expected"),
    [
        ("nearest", (-10, 30, -60), (1, 1, 1), 100),
        ("nearest", (-10, 30, -60), (0, 1, 1), 200),
        ("linear", (-10, 30, -60), (1, 1, 1), 125),
        ("linear", (-10, 30, -60), (0, 1, 1), 800 / 3),
        ("linear", (-10, 30, -60), (1, 0, 1), 100),
        ("linear", (-10, 30, -60), (0, 1, 0), 200),
        ("linear", (0, 30, -60), (1, 1, 1), 100),
        ("linear", (-60, 30, 0), (1, 1, 1), 400),
        ("median", (float("nan"),) * 3, (1, 1, 1), 200),
        ("median", (float("nan"),) * 3, (1, 0, 1), 250),
        ("median", (1, 2, 3), (0, 0, 0), 0),
        ("linear", (1, 2, 3), (0, 0, 0), 0),
    ],
)
def test_a_pixel_takes_its_clear_dates(how, gaps, clear, expected):
    seen = np.array(clear, bool).reshape(3, 1, 1)
    found, covered = composite(constant(100, 200, 400), seen, gaps, how)
    assert found[0, 0, 0] == pytest.approx(expected)
    assert covered[0, 0] == any(clear)


def test_each_pixel_by_itself():
    clear = np.array([[[True, False]], [[True, True]]])
    dates = np.stack([np.full((2, 1, 2), 5.0), np.full((2, 1, 2), 7.0)])
    found, _ = composite(dates, clear, (-1, 4), "nearest")
    assert found[:, 0].tolist() == [[5, 7], [5, 7]]


def test_gain_and_offset_are_found_among_outliers():
    date = ground()
    target = 1.2 * date + np.array([50, -80, 10])[:, None, None]
    spoiled = target.copy()
    spoiled[:, :40, :40] += 3000  # a cloud that the mask has missed, a tenth of the image
    match = match_colour(*(image.reshape(3, -1) for image in (spoiled, date)), cells(), Usual(*np.full((2, 3), 1e4)))
    assert np.abs(match(date) - target).max() < 0.05 * np.abs(date - target).max()


def test_haze_that_differs_from_place_to_place_is_not_taken_for_colour():
    date, rng = ground(), np.random.default_rng(1)
    haze = np.kron(rng.uniform(0, 600, (8, 8)), np.ones((16, 16)))
    usual = Usual(np.full(3, 500.0), np.full(3, 30.0))
    match = match_colour((date + haze).reshape(3, -1), date.reshape(3, -1), cells(), usual)
    assert np.abs(match.offset).max() < 0.1 * np.median(haze)
    even = match_colour((date + np.median(haze)).reshape(3, -1), date.reshape(3, -1), cells(), usual)
    assert even.offset == pytest.approx(np.full(3, np.median(haze)), rel=0.05)


def test_shade_over_all_of_the_ground_is_not_taken_for_colour():
    """The last clear places of an overcast image lie in shadow, and all alike."""
    date = ground()
    usual = Usual(np.full(3, 200.0), np.full(3, 30.0))
    match = match_colour((0.3 * date).reshape(3, -1), date.reshape(3, -1), cells(), usual)
    assert np.array_equal(match(date), date)


def test_few_pixels_say_nothing():
    date = ground(16)[:, :4].reshape(3, -1)
    match = match_colour(date + 100, date, np.zeros(date.shape[1], int))
    assert np.array_equal(match(date), date)
    assert np.array_equal(ColourMatch.identity(3)(date), date)


@pytest.mark.parametrize("shift", [(0, 0), (3, -5), (-1.5, 0.7)])
def test_a_shift_is_found(shift):
    wide = ground(192)[0]
    moved = move(wide, shift, order=3, mode="nearest")
    clear = np.ones((160, 160), bool)
    clear[20:50, 90:120] = False
    found = find_shift(wide[16:-16, 16:-16], moved[16:-16, 16:-16], clear)
    assert found == pytest.approx(shift, abs=0.3)


def test_other_ground_shows_no_shift():
    assert find_shift(ground(seed=1)[0], ground(seed=2)[0], np.ones((128, 128), bool)) is None
    assert find_shift(ground()[0], ground()[0], np.zeros((128, 128), bool)) is None


def smooth(seed):
    return np.kron(np.random.default_rng(seed).uniform(-100, 100, (3, 8, 8)), np.ones((16, 16))).astype(np.float32)


@pytest.mark.parametrize(("haze", "trust"), [(0, 1), (1500, 0)])
def test_the_dates_tell_how_much_places_differ(haze, trust):
    """Fields that change between dates do not stop the match, and haze that varies more than they do does."""
    image, change = ground(), smooth(1)
    before, after = image + 100 + change, image + 60 - change
    target = image + haze * np.kron(np.random.default_rng(2).uniform(0, 1, (8, 8)), np.ones((16, 16)))
    pixels = Ground(
        target.reshape(3, -1), np.stack([before, after]).reshape(2, 3, -1), np.ones((2, 128 * 128), bool), cells()
    )
    for match, offset in zip(match_colours(pixels), (-100, -60), strict=True):
        assert match.offset == pytest.approx(np.full(3, trust * offset), abs=40 * trust)
        assert trust or not match.slope.any()


S2 = np.array(list(SENTINEL2.values()))
SEEN = [place for place, name in enumerate(SENTINEL2) if name not in ("b09", "b10")]


def places(seed=0, count=60):
    """Ground of 13 bands at some places, dark in the cirrus band as it is over clear ground."""
    values = np.random.default_rng(seed).uniform(500, 3000, (count, 13))
    values[:, 10] = 5
    return values


def test_haze_and_shadow_are_no_change_of_the_ground():
    rng, before = np.random.default_rng(1), places()
    change = np.where(S2 > 1.5, 300, 0)
    haze = rng.uniform(50, 400, (60, 1)) * (S2 / 0.55) ** -2.5 + rng.uniform(0, 100, (60, 1))
    shade = rng.uniform(0, 0.5, (60, 1)) * (before - 100)
    air = Air(list(S2), np.full(13, 100.0))
    found = air.unexplained(haze - shade + change, before)
    assert found[SEEN] == pytest.approx(change[SEEN], abs=30)
    assert 100 < np.median(np.abs(haze - shade))
    assert not found[9:11].any()
    assert np.abs(Air(list(S2), np.zeros(13)).unexplained(haze - shade, before))[SEEN].max() < 60


def test_bands_of_unknown_wavelength_say_nothing_of_haze():
    unknown = Air([None, *S2[1:]], np.zeros(13))
    assert not unknown.unexplained(places(1), places()).any()


@pytest.mark.parametrize(("cirrus", "known"), [(5, True), (900, False)])
def test_sentinel_2_is_known_without_names_by_its_cirrus_band(cirrus, known):
    clear = places()
    clear[:, 10] = cirrus
    unnamed = Air([None] * 13, np.zeros(13))
    assert unnamed.of(clear.T).wavelengths == (list(SENTINEL2.values()) if known else [None] * 13)
    assert Air([None] * 4, np.zeros(4)).of(clear.T[:4]).wavelengths == [None] * 4


def test_a_season_is_matched_through_haze_and_shadow():
    """What the dates say is unusual is not believed, and what of it is neither haze nor shadow is."""
    rng = np.random.default_rng(3)
    one = (np.repeat(places(count=64), 64, 0).T + rng.normal(0, 20, (13, 4096))).astype(np.float32)
    cell = np.repeat(np.arange(64), 64)
    change = np.where((S2 > 0.73) & (S2 < 0.9), 300, 0)[:, None]  # leaves
    haze = np.repeat(rng.uniform(0, 600, 64), 64) * (S2[:, None] / 0.55) ** -2.5
    usual, air = Usual(np.full(13, 20.0), np.full(13, 15.0)), Air(list(S2), np.zeros(13))
    blind = match_colour(one + change + haze, one, cell, usual)
    assert np.array_equal(blind(one), one)
    found = match_colour(one + change + haze, one, cell, usual, air)
    assert found.offset[SEEN] == pytest.approx(change[SEEN, 0], abs=100)
