import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from declouds.errors import UserError
from declouds.scenes.sampling.tiles import Window, areas, blend_weights, check_tiling, touches, windows

tilings = st.integers(1, 40).flatmap(lambda tile: st.tuples(st.just(tile), st.integers(0, tile - 1)))


@given(
    height=st.integers(1, 130), width=st.integers(1, 130), tiling=tilings, taper=st.sampled_from(["cosine", "linear"])
)
def test_windows_cover_the_image_and_stay_inside_and_the_weights_sum_to_one(height, width, tiling, taper):
    tile, overlap = tiling
    total = np.zeros((height, width))
    grid = windows(height, width, tile, overlap)
    for window in grid:
        assert (window.height, window.width) == (min(tile, height), min(tile, width))
        assert window.row >= 0 and window.col >= 0
        assert window.row + window.height <= height and window.col + window.width <= width
        weights = blend_weights(window, height, width, overlap, taper)
        assert weights.shape == (window.height, window.width) and weights.dtype == np.float32
        assert (weights > 0).all()
        total[window.slices] += weights
    np.testing.assert_allclose(total, 1, atol=2e-6)
    assert len(set(grid)) == len(grid)
    assert grid == sorted(grid)


@given(
    size=st.tuples(st.integers(1, 130), st.integers(1, 130)),
    tiling=tilings,
    pieces=st.tuples(st.integers(1, 9), st.integers(1, 9)),
)
def test_areas_cover_the_image_once_and_few_windows_are_needed_twice(size, tiling, pieces):
    parts = [area for row in areas(*size, *tiling, *pieces) for area in row]
    covered = np.zeros(size, int)
    for area in parts:
        assert area.height > 0 and area.width > 0
        covered[area.slices] += 1
    assert (covered == 1).all()
    assert len(parts) <= pieces[0] * pieces[1]
    grid = windows(*size, *tiling)
    starts = ({window.row for window in grid}, {window.col for window in grid})
    assert all(area.row in starts[0] and area.col in starts[1] for area in parts)
    assert {window for area in parts for window in grid if touches(window, area)} == set(grid)


def test_areas_are_of_about_the_same_size():
    rows = areas(1000, 500, 100, 20, 3, 1)
    assert [[area.height for area in row] for row in rows] == [[320], [320], [360]]
    assert len(areas(90, 500, 100, 20, 3, 2)) == 1 and len(areas(90, 500, 100, 20, 3, 2)[0]) == 2


def test_the_linear_taper():
    first, _ = windows(64, 112, 64, 16)
    ramp = (np.arange(16) + 0.5) / 16
    np.testing.assert_allclose(blend_weights(first, 64, 112, 16, "linear")[0, 48:], ramp[::-1], rtol=1e-6)


def test_the_last_windows_are_shifted_inwards():
    assert [window.row for window in windows(300, 10, 128, 32)] == [0, 96, 172]
    assert windows(256, 256, 256, 64) == [Window(0, 0, 256, 256)]
    assert len(windows(257, 256, 256, 64)) == 2


@pytest.mark.parametrize("size", [(1, 1), (5, 200), (63, 64)])
def test_an_image_smaller_than_a_tile_is_one_window_of_full_weight(size):
    (window,) = windows(*size, 256, 64)
    assert window == Window(0, 0, *size)
    np.testing.assert_array_equal(blend_weights(window, *size, 64), np.ones(size, np.float32))


def test_weights_fall_only_towards_neighbours():
    first, last = windows(64, 112, 64, 16)
    weights = blend_weights(first, 64, 112, 16)
    assert (weights[:, :48] == 1).all()  # no neighbour above, below or to the left
    ramp = np.sin(np.pi / 2 * (np.arange(16) + 0.5) / 16) ** 2
    np.testing.assert_allclose(weights[0, 48:], ramp[::-1], rtol=1e-6)
    np.testing.assert_allclose(blend_weights(last, 64, 112, 16)[0, :16], ramp, rtol=1e-6)


@pytest.mark.parametrize(
    ("tile", "overlap", "batch_size", "message"),
    [
        (64, 64, 1, "the overlap goes from 0 to 63"),
        (64, 100, 1, "the overlap goes from 0 to 63"),
        (64, -1, 1, "the overlap goes from 0 to 63"),
        (0, 0, 1, "at least 1 pixel"),
        (64, 16, 0, "at least 1 window"),
    ],
)
def test_a_tiling_that_cannot_advance_is_refused(tile, overlap, batch_size, message):
    with pytest.raises(UserError, match=message):
        check_tiling(tile, overlap, batch_size)
    if batch_size:
        with pytest.raises(UserError, match=message):
            windows(500, 500, tile, overlap)
