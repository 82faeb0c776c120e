"""The veil that a model has removed, and what it hides in bands that the model does not know."""

import numpy as np
import pytest

from declouds.scenes.sampling.thin_veil import AIRLIGHT, LEAST, MARGIN, Veil, find_veil, lift_veil
from declouds.scenes.sampling.tiles import Window, around_of, inside_of
from declouds.simulation.cloud_colour import cloud_reflectance
from declouds.simulation.thin_cloud import veil
from declouds.wavelengths import sees_ground, wavelengths_of

RGB = wavelengths_of(["red", "green", "blue"])
OTHERS = wavelengths_of(["coastal", "rededge1", "nir", "swir1", "swir2"])
SIZE = 90, 110
EVERYWHERE = np.ones(SIZE, bool)


def ground(bands, seed=0):
    return np.random.default_rng(seed).uniform(0.02, 0.3, (bands, *SIZE))


def slope(low, high):
    """An optical depth that rises from left to right."""
    return np.broadcast_to(np.linspace(low, high, SIZE[1]), SIZE)


def airlight(wavelengths):
    return AIRLIGHT * cloud_reflectance(wavelengths, ice=0)


def under(clear, thickness, wavelengths, exponent):
    return veil(clear, thickness, wavelengths, exponent, airlight(wavelengths))


@pytest.mark.parametrize("exponent", [0.0, 0.7, 1.5])
def test_a_known_veil_is_lifted_exactly(exponent):
    clear, thickness, light = ground(5), slope(0, 0.9), np.array([0.4, 0.6, 0.8, 0.5, 0.7])
    cloudy = veil(clear, thickness, OTHERS, exponent, light)
    known = Veil(thickness, np.full(SIZE, exponent), EVERYWHERE)
    np.testing.assert_allclose(lift_veil(cloudy, known, OTHERS, light), clear, atol=1e-6)


@pytest.mark.parametrize("exponent", [0.0, 0.7, 1.5])
def test_the_veil_of_a_perfect_model_is_found_and_lifted_from_other_bands(exponent):
    clear, others, thickness = ground(3), ground(5, seed=1), slope(0.1, 0.8)
    found = find_veil(under(clear, thickness, RGB, exponent), clear, EVERYWHERE, RGB)
    assert found.thin.all()
    np.testing.assert_allclose(found.thickness, thickness, rtol=0.02, atol=0.02)
    np.testing.assert_allclose(found.exponent, exponent, atol=0.02)
    cloudy = under(others, thickness, OTHERS, exponent)
    lifted = lift_veil(cloudy, found, OTHERS)
    np.testing.assert_allclose(lifted, others, atol=0.03)
    assert np.abs(lifted - others).mean() < 0.01 * np.abs(cloudy - others).mean()


def test_another_airlight_is_taken_where_it_is_known():
    clear, light, thickness = ground(3), np.array([0.5, 0.55, 0.6]), slope(0.3, 0.3)
    found = find_veil(veil(clear, thickness, RGB, 1.0, light), clear, EVERYWHERE, RGB, light)
    np.testing.assert_allclose(found.thickness, thickness, atol=1e-4)
    np.testing.assert_allclose(found.exponent, 1, atol=1e-3)


def test_what_is_thick_is_not_thin_nor_is_a_shadow():
    clear, thickness = ground(3), slope(0.4, 1.6)
    thin = find_veil(under(clear, thickness, RGB, 0.5), clear, EVERYWHERE, RGB).thin
    limit = -np.log(LEAST)
    assert thin[thickness < 0.98 * limit].all() and not thin[thickness > 1.02 * limit].any()
    assert not find_veil(0.5 * clear, clear, EVERYWHERE, RGB).thin.any()
    assert not find_veil(np.full_like(clear, 0.97), clear, EVERYWHERE, RGB).thin.any()  # brighter than any haze


def test_bands_that_do_not_agree_are_no_veil():
    clear = ground(3)
    cloudy = under(clear, slope(0.3, 0.6), RGB, 1.0)
    cloudy[1] = clear[1]
    assert not find_veil(cloudy, clear, EVERYWHERE, RGB).thin.any()


def test_where_nothing_was_changed_there_is_no_veil_and_nothing_changes():
    clear = ground(3)
    found = find_veil(clear, clear, EVERYWHERE, RGB)
    assert found.thin.all() and (found.thickness == 0).all()
    np.testing.assert_array_equal(lift_veil(ground(5), found, OTHERS), ground(5))


def test_pixels_that_are_not_known_do_not_count():
    clear, where = ground(3), EVERYWHERE.copy()
    where[20:50, 30:60] = False
    cloudy = under(clear, slope(0.2, 0.7), RGB, 1.0)
    cloudy[:, ~where] = np.nan
    other = np.where(where, cloudy, 0.9)
    one, two = find_veil(cloudy, clear, where, RGB), find_veil(other, clear, where, RGB)
    assert not one.thin[~where].any() and one.thin[where].all()
    for part, same in zip(one, two, strict=True):
        np.testing.assert_array_equal(part, same)
    np.testing.assert_allclose(one.thickness[where], slope(0.2, 0.7)[where], rtol=0.02, atol=0.02)


@pytest.mark.parametrize("window", [Window(0, 0, 20, 30), Window(40, 60, 10, 50), Window(37, 1, 53, 8)])
def test_a_window_with_its_margin_gives_what_the_whole_does(window):
    clear = ground(3)
    thickness = slope(0.1, 1.2) * np.random.default_rng(2).uniform(0.8, 1.2, SIZE)
    cloudy, where = under(clear, thickness, RGB, 0.8), np.random.default_rng(3).random(SIZE) < 0.9
    around = around_of(window, MARGIN, *SIZE)
    cut = (..., *around.slices)
    part = find_veil(cloudy[cut], clear[cut], where[cut], RGB)
    here = inside_of(window, around)
    for one, other in zip(part, find_veil(cloudy, clear, where, RGB), strict=True):
        np.testing.assert_allclose(one[here].astype(float), other[window.slices].astype(float), atol=1e-9)


def test_nothing_gets_darker_than_black_unless_it_was():
    known = Veil(np.full(SIZE, 0.5), np.zeros(SIZE), EVERYWHERE)
    cloudy = ground(1)
    cloudy[0, 0, :3] = 0.0, 0.01, -0.02
    lifted = lift_veil(cloudy, known, OTHERS[2:3])
    assert lifted.min() == -0.02 and lifted[0, 0, :3].tolist() == [0, 0, -0.02]


def test_bands_that_see_the_ground():
    seen = ["coastal", "blue", "yellow", "red", "rededge3", "nir", "nir08", "swir1", "swir2"]
    assert all(map(sees_ground, wavelengths_of(seen)))
    assert not any(map(sees_ground, [*wavelengths_of(["water_vapour", "cirrus"]), 10.9]))
