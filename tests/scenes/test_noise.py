import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from declouds.errors import UserError
from declouds.scenes.sampling.noise import noise_field, noise_for

rectangles = st.tuples(st.integers(0, 300), st.integers(0, 300), st.integers(1, 150), st.integers(1, 150))


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**64 - 1), one=rectangles, other=rectangles, bands=st.integers(1, 4))
def test_windows_agree_exactly_where_they_overlap(seed, one, other, bands):
    top, left = max(one[0], other[0]), max(one[1], other[1])
    bottom, right = min(one[0] + one[2], other[0] + other[2]), min(one[1] + one[3], other[1] + other[3])
    if top >= bottom or left >= right:
        return
    seen = [
        noise_field(seed, bands, *box)[:, top - box[0] : bottom - box[0], left - box[1] : right - box[1]]
        for box in (one, other)
    ]
    np.testing.assert_array_equal(*seen)


def test_it_is_standard_normal_and_white():
    noise = noise_field(7, 2, 1000, 5, 700, 700).astype(np.float64)
    assert noise.shape == (2, 700, 700)
    count = noise.size
    assert abs(noise.mean()) < 4 / count**0.5
    assert abs(noise.std() - 1) < 4 / (2 * count) ** 0.5
    assert abs((noise**3).mean()) < 4 * (15 / count) ** 0.5
    assert abs((noise**4).mean() - 3) < 4 * (96 / count) ** 0.5
    for apart in (noise[0] * noise[1], noise[:, 1:] * noise[:, :-1], noise[:, 64:] * noise[:, :-64]):
        assert abs(apart.mean()) < 4 / apart.size**0.5


def test_seed_band_and_place_make_different_noise():
    noise = noise_field(0, 2, 0, 0, 64, 64)
    for other in (noise_field(1, 2, 0, 0, 64, 64), noise_field(0, 2, 64, 0, 64, 64), noise_field(0, 2, 0, 64, 64, 64)):
        assert (noise != other).mean() > 0.99
    assert (noise[0] != noise[1]).mean() > 0.99
    # Rows and columns are not interchangeable.
    assert (noise_field(0, 1, 64, 0, 64, 64) != noise_field(0, 1, 0, 64, 64, 64)).mean() > 0.99


def test_fewer_bands_are_the_first_of_more():
    np.testing.assert_array_equal(noise_field(3, 1, 10, 20, 70, 80), noise_field(3, 4, 10, 20, 70, 80)[:1])


def test_the_numbers_stay_the_same_for_ever():
    """A result is repeated from its seed: a change here changes every result."""
    expected = [0.05991104, 0.01555963, -1.1644385, -0.13264713]
    noise = noise_field(0, 4, 0, 0, 64, 64)
    assert noise.dtype == np.float32
    np.testing.assert_allclose(noise[0, 0, :4], expected, rtol=1e-6)


def test_the_noise_of_a_named_image():
    noise = noise_for("scene_1", 0, (3, 20, 30))
    assert noise.shape == (3, 20, 30)
    np.testing.assert_array_equal(noise, noise_for("scene_1", 0, (3, 20, 30)))
    assert (noise != noise_for("scene_2", 0, (3, 20, 30))).mean() > 0.99
    assert (noise != noise_for("scene_1", 1, (3, 20, 30))).mean() > 0.99


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_an_impossible_seed_is_refused(seed):
    with pytest.raises(UserError, match="from 0 to 2"):
        noise_field(seed, 1, 0, 0, 8, 8)
