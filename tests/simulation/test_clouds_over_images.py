"""Clouds for real images: the spectral law in numbers, exact masks, kinds and shapes."""

import numpy as np
import pytest

from declouds.compositing.shift import find_shift
from declouds.errors import UserError
from declouds.scenes.sampling.scene_range import find_range
from declouds.simulation.cloud_colour import cloud_reflectance
from declouds.simulation.cloud_kinds import KINDS, draw_clouds
from declouds.simulation.haze import add_haze, airlight, broken_haze, cirrus, uniform_veil
from declouds.simulation.scene import clear_scene
from declouds.simulation.sensor import (
    as_another_sensor,
    as_false_colour,
    as_flat,
    as_reflectance,
    end_of_range,
    white_of,
)
from declouds.simulation.thick_cloud import add_thick_cloud
from declouds.simulation.thick_shapes import body_of_mask, clustered_body, translucent
from declouds.units import Units
from declouds.wavelengths import wavelengths_of

RGB = (0.665, 0.560, 0.490)
SEEDS = range(12)


def ground(bands=3, size=64, seed=0):
    return np.random.default_rng([seed, bands]).uniform(0.1, 0.5, (bands, size, size)).astype(np.float32)


def mask(size=90):
    rows, columns = np.mgrid[:size, :size]
    return (rows - 40) ** 2 + (columns - 30) ** 2 < 400


def clouds(seed, kind, clear=None, **arguments):
    arguments = dict(wavelengths=RGB, shares={kind: 1}, mask_body=lambda *a: body_of_mask(mask(), *a)) | arguments
    return draw_clouds(ground() if clear is None else clear, np.random.default_rng(seed), **arguments)


def test_bands_are_known_by_word_and_by_the_names_of_sentinel_2():
    assert wavelengths_of(["Red", "B04", "nir", "b8a", "swir2", "B10"]) == (0.665, 0.665, 0.842, 0.865, 2.19, 1.375)


def test_an_unknown_band_is_refused_with_the_known_ones():
    with pytest.raises(UserError, match=r"band 'thermal' has no known wavelength: .*`wavelengths`.*coastal.*b12"):
        wavelengths_of(["red", "thermal"])


def test_clouds_are_white_up_to_1_3_micrometres_and_ice_is_darkest_above():
    np.testing.assert_array_equal(cloud_reflectance((0.44, 0.842, 1.24), ice=1.0), 1)
    np.testing.assert_allclose(cloud_reflectance((1.6, 2.2), ice=0), (0.85, 0.7))
    np.testing.assert_allclose(cloud_reflectance((1.6, 2.2), ice=1), (0.4, 0.3))
    np.testing.assert_allclose(cloud_reflectance((1.6, 2.2), ice=0.5), (0.625, 0.5))


def test_only_high_clouds_are_bright_where_water_vapour_absorbs():
    low, high = (cloud_reflectance((0.865, 0.945, 1.375), ice=0, height=height) for height in (0.5, 11))
    assert low[0] == high[0] == 1 and low[1] < 0.3 and low[2] < 0.001 and high[1] > 0.95 and high[2] > 0.9


def test_haze_follows_koschmieder_and_angstrom():
    """From two grounds under the same haze, transmission and airlight can be computed, and with them the exponent."""
    dark, bright = (np.full((4, 64, 64), value, np.float32) for value in (0.1, 0.4))
    wavelengths = (0.443, 0.55, 0.842, 2.19)
    exponents = []
    for seed in SEEDS:
        (under, _, depth), (other, *_) = (add_haze(x, np.random.default_rng(seed), wavelengths) for x in (dark, bright))
        at = np.unravel_index(depth.argmax(), depth.shape)
        transmission = (other - under)[(..., *at)] / 0.3
        tau = -np.log(transmission)
        assert tau[1] == pytest.approx(depth[at], rel=1e-3)  # at 0.55 micrometres
        exponent = np.log(tau[0] / tau[1]) / np.log(0.55 / 0.443)
        np.testing.assert_allclose(tau, depth[at] * (np.array(wavelengths) / 0.55) ** -exponent, rtol=0.02)
        light = (under[(..., *at)] - 0.1 * transmission) / (1 - transmission)
        visible = light[:3]
        assert 0.35 < visible.min() and visible.max() <= 1.001 and np.ptp(visible) < 0.2
        exponents.append(exponent)
    assert -0.02 < min(exponents) < 0.35 and 0.7 < max(exponents) < 1.52


def test_haze_is_from_faint_to_heavy_as_asked():
    veils = [add_haze(ground(), np.random.default_rng(seed), RGB, thickness=(0.3, 0.5)) for seed in range(40)]
    means = np.array([veil.thickness[veil.mask].mean() for veil in veils])
    assert 0.13 < means.min() and means.max() < 0.55  # cirrus has half of it
    assert np.mean(means > 0.29) > 0.3


def test_shapes_of_haze():
    veil, patches, streaks = (
        shape(np.random.default_rng(3), 128, 128) for shape in (uniform_veil, broken_haze, cirrus)
    )
    assert veil.min() > 0.3 and veil.max() < 3
    assert (patches == 0).any() and (streaks == 0).any() and patches.min() == streaks.min() == 0


def test_airlight_is_grey_or_white_as_asked():
    grey, white = ([airlight(np.random.default_rng(s), RGB, share).mean() for s in SEEDS] for share in (1.0, 0.0))
    assert 0.4 < min(grey) and max(grey) < 0.7 < min(white)


@pytest.mark.parametrize("kind", KINDS)
def test_the_mask_is_exact(kind):
    """Outside of it, nothing but shadow; inside, the ground is hidden by 1 - exp(-thickness) at 0.55 micrometres."""
    clear = ground()
    covered = 0
    for seed in SEEDS:
        cloudy, cloud, thickness = clouds(seed, kind, clear)
        covered += cloud.sum()
        assert cloudy.dtype == thickness.dtype == np.float32 and cloud.dtype == bool
        assert 0 <= cloudy.min() and cloudy.max() <= 1
        assert (cloudy[:, ~cloud] <= clear[:, ~cloud]).all()
        np.testing.assert_array_equal(cloud, thickness > 0)
        assert (1 - np.exp(-thickness[cloud]) > 0.0039).all()
        if kind == "clear":
            np.testing.assert_array_equal(cloudy, clear)
        if kind == "thin":
            np.testing.assert_array_equal(cloudy[:, ~cloud], clear[:, ~cloud])
    assert (covered > 0) == (kind != "clear")


def test_where_the_ground_is_hidden_it_is_hidden_by_the_thickness():
    dark, bright = (np.full((3, 64, 64), value, np.float32) for value in (0.1, 0.3))
    for kind in ("thick", "masks"):
        seen = 0
        for seed in SEEDS:
            (one, _, depth), (other, *_) = (clouds(seed, kind, x, wavelengths=(0.55,) * 3) for x in (dark, bright))
            opaque = depth > 3
            assert (other - one)[:, opaque].max(initial=0) < 0.2 * np.exp(-3) + 1e-6
            seen += opaque.sum()
        assert seen > 1000


def test_the_same_generator_gives_the_same_clouds_and_another_one_others():
    for kind in KINDS[:-1]:
        np.testing.assert_array_equal(clouds(1, kind).cloudy, clouds(1, kind).cloudy)
        assert (clouds(1, kind).cloudy != clouds(2, kind).cloudy).mean() > 0.05


def test_shares_are_the_shares_of_samples():
    clear = ground(size=16)
    drawn = [
        clouds(seed, "", clear, shares={"clear": 3, "thin": 1}, thickness=(1, 1)).mask.any() for seed in range(300)
    ]
    assert 0.17 < np.mean(drawn) < 0.33


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ({"fog": 1}, "'fog': known: thin, thick"),
        ({}, "at least 0"),
        ({"thin": -1, "clear": 2}, "at least 0"),
        ({"thin": 0}, "above 0"),
        ({"masks": 1}, "give `cloud_masks`"),
    ],
)
def test_wrong_shares_are_refused(shares, message):
    with pytest.raises(UserError, match=message):
        draw_clouds(ground(), np.random.default_rng(0), RGB, shares)


def test_thick_clouds_of_swir_composites_are_cyan_and_those_over_false_colours_too():
    clear = np.full((3, 64, 64), 0.1, np.float32)
    drawn = [clouds(seed, "thick", clear, wavelengths=(2.19, 0.842, 0.56)) for seed in SEEDS]
    red, green, blue = np.concatenate([cloudy[:, depth > 4] for cloudy, _, depth in drawn], axis=1).mean(axis=1)
    assert red < 0.8 * green and abs(green - blue) < 0.02
    cyan = 0
    for seed in SEEDS:
        shown, wavelengths = as_false_colour(np.zeros_like(clear), np.random.default_rng(seed))
        cloudy, _, depth = clouds(seed, "thick", shown, wavelengths=wavelengths)
        opaque = cloudy[:, depth > 3]
        assert (opaque[0] <= opaque[1] + 1e-3).all() and (opaque[1] <= opaque[2] + 1e-3).all()
        cyan += opaque.size > 0 and bool(opaque[0].mean() < opaque[2].mean() - 0.02)
    assert 3 <= cyan <= len(SEEDS)


def test_clouds_of_a_mask_have_its_shape_with_soft_edges():
    covers = []
    for seed in SEEDS:
        body = body_of_mask(mask(), np.random.default_rng(seed), 96, 80)
        assert body.shape == (96, 80)
        covers.append((body > 0).mean())
    assert 0.1 < np.mean(covers) < 0.5  # the mask covers 16 % of its square, and mirrored it goes on
    everything, nothing = (
        body_of_mask(np.full((64, 64), value), np.random.default_rng(0), 64, 64) for value in (True, False)
    )
    assert (everything > 0).mean() > 0.95 and not (nothing > 0).any()
    opacity, brightness = translucent(body, np.random.default_rng(0), sun=0.0)
    soft = (opacity > 0.05) & (opacity < 0.95)
    assert 0.05 < soft.mean() and 0 <= brightness.min() and brightness.max() <= 1
    assert brightness[opacity > 0.95].mean() > brightness[(opacity > 0) & soft].mean()


def test_clusters_cover_the_share_that_is_asked():
    for cover in (0.1, 0.6):
        body = clustered_body(np.random.default_rng(0), 64, 64, 20, cover)
        assert (body > 0).mean() == pytest.approx(cover, abs=0.01)


def test_shadows_lie_as_far_from_their_clouds_as_asked():
    def disc(rng, height, width):
        rows, columns = np.mgrid[:height, :width]
        return (10 - np.hypot(rows - height / 2, columns - width / 2)).astype(np.float32) / 5

    for reach in (4, 20):
        cloud = add_thick_cloud(ground(size=96), np.random.default_rng(1), RGB, disc, reach=(reach, reach))
        middles = [np.argwhere(part).mean(axis=0) for part in (cloud.mask, cloud.shadow)]
        assert np.hypot(*(middles[0] - middles[1])) == pytest.approx(reach, abs=1.0)


def test_another_sensor_changes_the_image_within_reason():
    image = clear_scene(np.random.default_rng(0), 64, 64)
    for seed in SEEDS:
        changed = as_another_sensor(image, np.random.default_rng(seed))
        assert changed.shape == image.shape and changed.dtype == np.float32
        assert 0 <= changed.min() and changed.max() <= 1
        assert 0.005 < np.abs(changed - image).mean() < 0.3
        assert np.corrcoef(changed.ravel(), image.ravel())[0, 1] > 0.5


def test_reflectance_is_darker_than_a_picture_and_keeps_the_order_of_its_values():
    image = clear_scene(np.random.default_rng(0), 64, 64)
    means, airs = [], []
    for seed in range(24):
        dark, black = (as_reflectance(one, np.random.default_rng(seed), RGB) for one in (image, 0 * image))
        assert dark.shape == image.shape and dark.dtype == np.float32
        assert 0 <= dark.min() and (dark <= image + black).all()
        for band, values in zip(dark, image, strict=True):
            assert (np.diff(band.ravel()[np.argsort(values.ravel())]) >= 0).all()
        means.append((dark - black).mean() / image.mean())
        airs.append(black[:, 0, 0])
        assert (np.ptp(black, axis=(1, 2)) == 0).all()
    assert min(means) < 0.3 and max(means) > 0.5
    airs = np.array(airs)
    assert 6 < (airs == 0).all(1).sum() < 18 and 0.1 < airs.max() <= 0.12
    shining = airs[airs[:, 0] > 0]
    np.testing.assert_allclose(
        shining / shining[:, -1:], (np.array([RGB]) / 0.49) ** -4.0 * np.ones((len(shining), 1)), rtol=1e-4
    )


def test_the_end_of_a_range_is_that_of_the_scene_or_higher():
    image = clear_scene(np.random.default_rng(0), 64, 64) * np.float32(0.3)

    def read(window):
        return image, np.ones(image.shape[1:], bool)

    found = find_range("scene", read, 64, 64, Units()).stored.high
    ends = np.stack([end_of_range(image, np.random.default_rng(seed)) for seed in range(40)])
    assert ends.shape == (40, 3, 1, 1) and found == pytest.approx(ends.min(), rel=0.06) and 0.9 < ends.max() < 1.06
    assert (ends.max(axis=1) / ends.min(axis=1)).max() < 1.11
    assert end_of_range(np.zeros_like(image), np.random.default_rng(0)).min() > 0


def test_false_colours_keep_the_ground_in_another_order_of_bands():
    clear = np.random.default_rng(0).random((3, 16, 16), np.float32)
    orders = set()
    for seed in SEEDS:
        shown, wavelengths = as_false_colour(clear, np.random.default_rng(seed))
        assert shown.shape == clear.shape and 0 <= shown.min() and shown.max() <= 1 and shown.dtype == np.float32
        assert list(wavelengths) == sorted(wavelengths, reverse=True) and len(wavelengths) == 3
        likeness = np.corrcoef(shown.reshape(3, -1), clear.reshape(3, -1))[:3, 3:]
        assert sorted(likeness.argmax(axis=1)) == [0, 1, 2] and likeness.max(axis=1).min() > 0.9
        orders.add(tuple(likeness.argmax(axis=1)))
    assert len(orders) > 1


def test_flat_ground_is_of_any_brightness_and_shows_little():
    image = np.random.default_rng(0).uniform(0, 1, (3, 64, 64)).astype(np.float32)
    flat = [as_flat(image, np.random.default_rng(seed)) for seed in range(40)]
    levels = [one.mean() for one in flat]
    assert min(levels) < 0.2 and max(levels) > 0.6
    assert all(one.std(axis=(1, 2)).max() < 0.5 * image.std() for one in flat)
    assert all(one.dtype == np.float32 and 0 <= one.min() and one.max() <= 1 for one in flat)


def test_white_differs_from_band_to_band_and_slowly_from_place_to_place():
    whites = np.array([white_of(3, 64, 64, np.random.default_rng(seed)) for seed in range(40)])
    ratio = whites[:, 0] / whites[:, 1]
    assert (whites.max((1, 2, 3)) == 1).all() and whites.min() > 0.7
    assert ratio.mean((1, 2)).min() < 0.96 and ratio.mean((1, 2)).max() > 1.04
    assert 0.002 < ratio.std((1, 2)).mean() < 0.03 and np.abs(np.diff(ratio)).mean() < 0.005


def test_bands_show_a_thick_cloud_beside_each_other():
    clear, parallax = np.zeros((3, 96, 96), np.float32), 4.0
    together, apart = (
        add_thick_cloud(clear, np.random.default_rng(1), RGB, clustered_body, translucent, parallax=pixels)
        for pixels in (0, parallax)
    )
    seen = [apart.cloudy[band] / apart.cloudy.max() for band in range(3)]
    assert np.hypot(*find_shift(seen[0], seen[2], np.ones((96, 96), bool))) == pytest.approx(parallax, abs=0.7)
    assert apart.cloudy[1] == pytest.approx(together.cloudy[1], abs=1e-5)
    assert (apart.mask >= (apart.cloudy > 0).any(axis=0)).all() and apart.mask.sum() > together.mask.sum()
