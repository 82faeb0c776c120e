import numpy as np
import pytest

from declouds.errors import UserError
from declouds.simulation.clouds import add_clouds
from declouds.simulation.noise import fractal_noise
from declouds.simulation.scene import clear_scene
from declouds.simulation.thick_cloud import add_thick_cloud, cover
from declouds.simulation.thin_cloud import WAVELENGTHS, add_thin_cloud, veil

SEEDS = range(12)


def scene(seed, size=64, bands=4):
    return clear_scene(np.random.default_rng(seed), size, size, bands)


def test_noise_has_mean_0_and_variance_1_over_many_draws():
    fields = np.stack([fractal_noise(np.random.default_rng(i), 48, 33, slope=3.0, scale=20) for i in range(300)])
    assert fields.dtype == np.float32
    assert abs(fields.mean()) < 0.1
    assert 0.9 < fields.var() < 1.1


def test_a_steeper_slope_is_smoother():
    rough, smooth = (fractal_noise(np.random.default_rng(0), 128, 128, slope=slope, scale=40) for slope in (2, 5))
    assert np.abs(np.diff(rough)).mean() > 5 * np.abs(np.diff(smooth)).mean()


def test_noise_is_stretched_along_the_angle():
    field = fractal_noise(np.random.default_rng(0), 128, 128, slope=4, scale=10, stretch=5, angle=0.0)
    assert np.abs(np.diff(field, axis=0)).mean() > 2 * np.abs(np.diff(field, axis=1)).mean()


@pytest.mark.parametrize("bands", [3, 4])
@pytest.mark.parametrize(("height", "width"), [(64, 64), (37, 90), (8, 8)])
def test_land_is_an_image_in_0_to_1_with_structure(bands, height, width):
    for seed in SEEDS:
        image = clear_scene(np.random.default_rng(seed), height, width, bands)
        assert image.shape == (bands, height, width)
        assert image.dtype == np.float32
        assert 0 <= image.min() and image.max() <= 1
        assert image.std(axis=(1, 2)).min() > (0.01 if min(height, width) > 8 else 0)


def test_vegetation_is_bright_and_water_dark_in_near_infrared():
    images = np.stack([scene(seed) for seed in range(40)])
    red, green, blue, nir = np.moveaxis(images, 1, 0).reshape(4, -1)
    vegetation = (green > red + 0.04) & (green > blue + 0.04)
    water = (blue > red + 0.04) & (blue < 0.3)
    assert vegetation.mean() > 0.1 and water.mean() > 0.005
    assert (nir - red)[vegetation].mean() > 0.2
    assert nir[water].mean() < 0.15


def test_bands_of_land_are_coherent():
    correlations = [np.corrcoef(scene(seed)[0].ravel(), scene(seed)[1].ravel())[0, 1] for seed in SEEDS]
    assert np.mean(correlations) > 0.8


def test_the_veil_is_the_scattering_model():
    clear = np.full((4, 2, 2), 0.3, np.float32)
    thickness = np.full((2, 2), 0.5, np.float32)
    cloudy = veil(clear, thickness, WAVELENGTHS, exponent=1.3, airlight=(0.9,) * 4)
    transmission = np.exp(-0.5 * (np.array(WAVELENGTHS) / 0.55) ** -1.3)
    np.testing.assert_allclose(cloudy[:, 0, 0], 0.3 * transmission + 0.9 * (1 - transmission), rtol=1e-5)
    red, green, blue, nir = cloudy[:, 0, 0]
    assert blue > green > red > nir > 0.3


def test_no_thickness_no_change():
    clear = scene(0)
    np.testing.assert_array_equal(veil(clear, np.zeros((64, 64), np.float32), WAVELENGTHS, 1.0, (0.9,) * 4), clear)


def test_thin_clouds_brighten_most_at_short_wavelengths_and_only_inside_their_mask():
    change = np.zeros(4)
    for seed in SEEDS:
        clear = scene(seed)
        cloudy, mask = add_thin_cloud(clear, np.random.default_rng(seed))
        np.testing.assert_array_equal(cloudy[:, ~mask], clear[:, ~mask])
        assert np.abs(cloudy - clear)[:, mask].max(initial=0) > 0.05 or not mask.any()
        change += (cloudy - clear).mean(axis=(1, 2)) / len(SEEDS)
    red, green, blue, nir = change
    assert blue > green > red > 0.05
    assert red > nir


def test_thick_clouds_are_bright_and_their_shadows_dark():
    brighter = darker = 0.0
    for seed in SEEDS:
        clear = scene(seed, size=96)
        cloudy, mask, shadow, _ = add_thick_cloud(clear, np.random.default_rng(seed))
        untouched = ~mask & ~shadow
        np.testing.assert_array_equal(cloudy[:, untouched], clear[:, untouched])
        only_shadow = shadow & ~mask
        assert (cloudy[:, only_shadow] <= clear[:, only_shadow]).all()
        brighter += cloudy[:3, mask].sum() - clear[:3, mask].sum()
        darker += cloudy[:, only_shadow].sum() - clear[:, only_shadow].sum()
        assert 0 <= cloudy.min() and cloudy.max() <= 1
    assert brighter > 0 > darker


def test_an_opaque_cloud_hides_the_ground_and_a_full_shadow_leaves_blue_sky_light():
    clear = np.full((4, 1, 2), 0.5, np.float32)
    opacity = np.array([[1.0, 0.0]], np.float32)
    cloudy = cover(clear, opacity, np.full((1, 2), 0.8, np.float32), 1 - opacity, WAVELENGTHS, skylight=0.4)
    np.testing.assert_allclose(cloudy[:, 0, 0], 0.8)
    np.testing.assert_allclose(cloudy[:, 0, 1], 0.5 * 0.4 * (np.array(WAVELENGTHS) / 0.55) ** -1.5, rtol=1e-5)
    assert cloudy[2, 0, 1] > cloudy[0, 0, 1] > cloudy[3, 0, 1]


def test_a_shadow_is_its_cloud_displaced():
    for seed in range(40):
        _, mask, shadow, _ = add_thick_cloud(scene(0, size=160), np.random.default_rng(seed))
        if 0.03 < mask.mean() < 0.5:
            spectrum = np.fft.rfft2(shadow - shadow.mean()) * np.conj(np.fft.rfft2(mask - mask.mean()))
            peak = np.unravel_index(np.fft.irfft2(spectrum, s=mask.shape).argmax(), mask.shape)
            shift = np.array([(p + 80) % 160 - 80 for p in peak])
            assert 3 <= np.hypot(*shift) <= 25
            return
    raise AssertionError("no seed gave a cloud that fills a part of the image")


@pytest.mark.parametrize("cloud", ["thin", "thick", "mixed"])
def test_clouds_are_a_function_of_the_generator_and_never_leave_0_to_1(cloud):
    for seed in SEEDS:
        clear = scene(seed, bands=3)
        before = clear.copy()
        one, other = (add_clouds(clear, np.random.default_rng(seed), cloud) for _ in range(2))
        np.testing.assert_array_equal(clear, before)
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])
        assert one[0].shape == clear.shape and one[0].dtype == np.float32 and one[1].shape == (64, 64)
        assert 0 <= one[0].min() and one[0].max() <= 1


def test_a_wrong_kind_and_missing_wavelengths_are_refused():
    with pytest.raises(UserError, match="'fog': known are thin, thick, mixed"):
        add_clouds(scene(0), np.random.default_rng(0), "fog")
    with pytest.raises(UserError, match="4 bands: give the wavelength of each"):
        add_clouds(scene(0), np.random.default_rng(0), "thin", wavelengths=(0.6, 0.5))
