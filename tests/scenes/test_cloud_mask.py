import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from declouds.errors import UserError
from declouds.scenes.sampling.cloud_mask import CloudMask, detect_clouds
from declouds.scenes.sampling.tiles import Window
from declouds.value_range import ValueRange

BYTES = ValueRange(0, 255)


def mask_of(cloud, valid=None, **options):
    cloud = np.asarray(cloud, bool)
    looked = None if valid is None else lambda window: np.asarray(valid, bool)[window.slices]
    return CloudMask(lambda window: cloud[window.slices], *cloud.shape, valid=looked, **options)


def whole(mask):
    return mask.alpha(Window(0, 0, mask.height, mask.width))


def test_without_growing_and_feathering_it_is_the_mask():
    cloud = np.random.default_rng(0).random((9, 13)) < 0.4
    alpha = whole(mask_of(cloud))
    assert alpha.dtype == np.float32
    np.testing.assert_array_equal(alpha, cloud)


def test_alpha_rises_linearly_from_the_edge_inwards():
    row = [[0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0]]
    expected = [[0, 0, 0.25, 0.5, 0.75, 1, 1, 1, 0.75, 0.5, 0.25, 0]]
    np.testing.assert_allclose(whole(mask_of(row, feather=3)), expected)


def test_clouds_grow_by_a_disc():
    cloud = np.zeros((7, 7))
    cloud[3, 3] = 1
    grown = whole(mask_of(cloud, dilate=2))
    assert ["".join(".#"[int(value)] for value in row) for row in grown] == [
        ".......", "...#...", "..###..", ".#####.", "..###..", "...#...", ".......",
    ]  # fmt: skip


def test_the_edge_that_is_feathered_is_that_of_the_grown_cloud():
    row = [[0, 0, 0, 0, 1, 0, 0, 0, 0]]
    np.testing.assert_allclose(whole(mask_of(row, dilate=3, feather=1)), [[0, 0.5, 1, 1, 1, 1, 1, 0.5, 0]])


def test_the_border_of_the_scene_is_no_edge_of_a_cloud():
    np.testing.assert_allclose(whole(mask_of([[1, 1, 1, 1, 0, 0]], feather=2)), [[1, 1, 2 / 3, 1 / 3, 0, 0]])
    assert (whole(mask_of(np.ones((5, 6)), dilate=2, feather=3)) == 1).all()


def test_pixels_without_data_are_no_edge_of_a_cloud():
    cloud, valid = [[0, 0, 1, 1, 1, 1, 0]], [[0, 0, 1, 1, 1, 1, 1]]
    np.testing.assert_allclose(whole(mask_of(cloud, feather=2)), [[0, 0, 1 / 3, 2 / 3, 2 / 3, 1 / 3, 0]])
    np.testing.assert_allclose(whole(mask_of(cloud, valid, feather=2)), [[0, 0, 1, 1, 2 / 3, 1 / 3, 0]])


@st.composite
def masks(draw):
    height, width = draw(st.integers(1, 24)), draw(st.integers(1, 24))
    random = np.random.default_rng(draw(st.integers(0, 1000)))
    cloud = random.random((height, width)) < draw(st.sampled_from([0, 0.02, 0.3, 0.9, 1]))
    valid = random.random((height, width)) < draw(st.sampled_from([0.3, 0.9, 1]))
    top, left = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
    window = Window(top, left, draw(st.integers(1, height - top)), draw(st.integers(1, width - left)))
    return mask_of(cloud, valid, dilate=draw(st.integers(0, 5)), feather=draw(st.integers(0, 5))), window


@settings(deadline=None)
@given(masks())
def test_every_window_has_the_alpha_of_the_whole(drawn):
    mask, window = drawn
    np.testing.assert_array_equal(mask.alpha(window), whole(mask)[window.slices])


@settings(deadline=None)
@given(masks())
def test_alpha_is_zero_outside_of_the_grown_cloud_and_more_inside(drawn):
    mask, _ = drawn
    rows, cols = np.mgrid[: mask.height, : mask.width]
    grown = np.zeros((mask.height, mask.width), bool)
    for row, col in np.argwhere(mask.cloud(Window(0, 0, mask.height, mask.width))):
        grown |= (rows - row) ** 2 + (cols - col) ** 2 <= mask.dilate**2
    alpha = whole(mask)
    np.testing.assert_array_equal(alpha > 0, grown)
    assert alpha.max() <= 1


def test_it_asks_for_no_more_than_it_needs_and_nothing_outside_the_scene():
    asked = []

    def cloud(window):
        asked.append(window)
        return np.ones((window.height, window.width), bool)

    mask = CloudMask(cloud, 100, 90, dilate=3, feather=2)
    mask.alpha(Window(50, 40, 10, 20))
    mask.alpha(Window(0, 80, 10, 10))
    assert asked == [Window(45, 35, 20, 30), Window(0, 75, 15, 15)]


@pytest.mark.parametrize("option", ["dilate", "feather"])
def test_a_negative_number_of_pixels_is_refused(option):
    with pytest.raises(UserError, match=f"{option} = -1: give a number of pixels, 0 or more"):
        mask_of([[0]], **{option: -1})


class BrighterThanAround:
    """Cloud is what is brighter than the mean of the pixels at most two away."""

    margin = 2

    def __call__(self, image):
        near = np.pad(image[0], 2, mode="edge")
        shifted = [near[y : y + image.shape[1], x : x + image.shape[2]] for y in range(5) for x in range(5)]
        return image[0] > np.mean(shifted, axis=0, dtype=np.float64) + 1e-6


def scene_reader(values, nodata=0):
    def read(window):
        assert min(window.row, window.col) >= 0
        part = values[..., *window.slices]
        assert part.shape[1:] == (window.height, window.width)  # inside the scene
        return part, (part != nodata).all(0)

    return read


@pytest.mark.parametrize("block", [7, 16, 100])
def test_clouds_do_not_depend_on_blocks(block):
    values = np.random.default_rng(0).integers(1, 256, (2, 31, 40)).astype(np.uint8)
    found = np.zeros((31, 40), int)
    detector = BrighterThanAround()
    detector.block = block
    for window, cloud in detect_clouds(detector, scene_reader(values), BYTES, 31, 40):
        assert cloud.dtype == bool
        found[window.slices] += cloud + 10
    np.testing.assert_array_equal(found - 10, BrighterThanAround()(BYTES.to_model(values)))
    assert 0.3 < (found == 11).mean() < 0.7


class Bright:
    """Cloud is what is brighter than the middle; it remembers what it saw."""

    margin = 0

    def __init__(self):
        self.seen = []

    def __call__(self, image):
        self.seen.append(image)
        return image[0] > 0


def test_pixels_without_data_are_no_cloud_and_the_detector_never_sees_them():
    values = np.full((1, 8, 30), 200, np.uint8)
    values[0, :4, :12] = 0
    values[0, :, 12:] = 0
    detector = Bright()
    detector.block = 10
    found = list(detect_clouds(detector, scene_reader(values), BYTES, 8, 30))
    assert [window for window, _ in found] == [Window(0, 0, 8, 10), Window(0, 10, 8, 10), Window(0, 20, 8, 10)]
    cloud = np.concatenate([part for _, part in found], axis=1)
    np.testing.assert_array_equal(cloud, values[0] == 200)
    assert len(detector.seen) == 2  # a block without data is skipped
    assert all((image == BYTES.to_model(np.uint8([200]))).all() for image in detector.seen)
