"""Chunks of dask are cleared one by one, to the pixels of the whole image."""

import pickle
import weakref

import numpy as np
import pytest
import torch

import declouds
from declouds.errors import UserError
from declouds.models import build_model
from declouds.models.cloud_remover import CloudRemover

xarray = pytest.importorskip("xarray")
dask = pytest.importorskip("dask")
pytest.importorskip("dask.array")

TILES = dict(tile=32, overlap=8, seed=3)


class Held(np.ndarray):
    """An array that can be followed."""


class OnePlain(CloudRemover):
    """Darkens three bands."""

    def __init__(self, any_units=False):
        super().__init__(bands=3, value_range=(0, 255))
        self.any_units = any_units

    def predict(self, cloudy, noise, *, name=None, variant=None, record=None):
        return 0.5 * cloudy


class Blur(CloudRemover):
    """Looks around and uses the noise, so that windows matter; counts what it computes."""

    draws_noise = True

    def __init__(self):
        super().__init__(bands=2, value_range=(0, 10000), band_names=("red", "near infrared"))
        self.windows = 0

    def predict(self, cloudy, noise, *, name=None, variant=None, record=None):
        self.windows += len(cloudy)
        return 0.9 * torch.nn.functional.avg_pool2d(cloudy, 3, 1, 1) + 0.05 * noise


def image(pixels, **chunks):
    found = xarray.DataArray(pixels, dims=("band", "y", "x"), coords={"x": np.arange(pixels.shape[2]) * 10.0})
    found.attrs["_FillValue"] = 0
    return found.chunk(chunks) if chunks else found


@pytest.fixture
def pixels():
    pixels = np.random.default_rng(0).integers(1, 10000, (2, 100, 90)).astype(np.uint16)
    pixels[:, :30, :40] = 0
    return pixels


CLOUDS = dict(mask="auto", detector=dict(type="BrightWhite"), dilate=3, feather=2)


@pytest.mark.parametrize("options", [{}, CLOUDS], ids=["all", "clouds"])
@pytest.mark.parametrize("chunks", [dict(y=45, x=33), dict(band=1, y=100, x=20)])
def test_chunks_give_the_pixels_of_the_whole(pixels, options, chunks):
    pixels[:, 60:70, 50:60] = 9900
    expected = declouds.remove_clouds(image(pixels), Blur(), **TILES, **options)
    model = Blur()
    cleared = declouds.remove_clouds(image(pixels, **chunks), model, **TILES, **options)
    assert model.windows == 0  # nothing is computed yet
    assert cleared.chunks == ((2,), *image(pixels, **chunks).chunks[1:]) and cleared.dtype == np.uint16
    xarray.testing.assert_identical(cleared.compute(), expected)
    assert (expected.values != pixels).any() and (expected.values[:, :30, :40] == 0).all()


def test_a_part_needs_the_windows_that_reach_into_it(pixels):
    model = Blur()
    cleared = declouds.remove_clouds(image(pixels, y=25, x=30), model, **TILES)
    part = cleared[:, 75:, 60:].values
    assert 0 < model.windows < 12  # of 4 x 4
    np.testing.assert_array_equal(part, declouds.remove_clouds(pixels, Blur(), nodata=0, **TILES)[:, 75:, 60:])


def test_a_mask_in_memory(pixels):
    mask = (np.random.default_rng(1).random(pixels.shape[1:]) > 0.99).astype(np.uint8)
    options = dict(mask=mask, dilate=2, **TILES)
    expected = declouds.remove_clouds(image(pixels), Blur(), **options)
    xarray.testing.assert_identical(
        declouds.remove_clouds(image(pixels, y=40, x=40), Blur(), **options).compute(), expected
    )


def test_steps_that_are_sampled_jointly(pixels):
    small = dict(base=4, multipliers=(1, 1), blocks=1, attention_at=(), heads=1)
    model = build_model(
        dict(
            type="DiffusionEnhancement",
            bands=2,
            value_range=(0, 10000),
            denoiser=dict(type="ConditionalUNet", predicts="clear", **small),
            reference=dict(type="Identity"),
            fusion=dict(type="FixedWeight"),
            noise_schedule=dict(type="LinearSchedule"),
            sampler=dict(type="DDIM", steps=3),
        )
    )
    expected = declouds.remove_clouds(image(pixels), model, **TILES)
    cleared = declouds.remove_clouds(image(pixels, y=50, x=45), model, **TILES)
    np.testing.assert_array_equal(cleared[:, 50:, 45:].values, expected[:, 50:, 45:])


def test_a_model_of_any_units_finds_the_range_of_the_whole_image():
    bright = np.random.default_rng(0).integers(0, 60, (3, 1100, 40)).astype(np.uint8)
    bright[:, 500:600] += 150
    model = OnePlain(any_units=True)
    expected = declouds.remove_clouds(image(bright), model, mask="none", **TILES)
    cleared = declouds.remove_clouds(image(bright, y=200, x=40), model, mask="none", **TILES)
    np.testing.assert_array_equal(cleared[:, :100].values, expected[:, :100])


def test_too_few_pixels_for_a_range_name_the_fix():
    empty = np.zeros((3, 2000, 200), np.uint8)
    empty[:, 70:75] = 9
    with pytest.raises(UserError, match="value_range"):
        declouds.remove_clouds(image(empty, y=500, x=200), OnePlain(any_units=True), mask="none").compute()


def test_what_shape_and_type_tell_is_refused_at_once(pixels):
    with pytest.raises(UserError, match="has 2 bands, the model takes 3"):
        declouds.remove_clouds(image(pixels, y=50), OnePlain())
    unknown = xarray.DataArray(image(pixels, y=50).data[:, dask.array.ones(100, bool) > 0], dims=("band", "y", "x"))
    with pytest.raises(UserError, match="compute_chunk_sizes"):
        declouds.remove_clouds(unknown, Blur())
    with pytest.raises(UserError, match=r"compile = True: .* leave it out"):
        declouds.remove_clouds(image(pixels, y=50), Blur(), compile=True)
    with pytest.raises(UserError, match="memory"):
        declouds.remove_clouds(image(pixels, y=50), Blur(), memory=10**9)


def test_other_processes_can_do_the_work(pixels):
    cleared = declouds.remove_clouds(image(pixels, y=50, x=45), Blur(), **TILES)
    graph = pickle.loads(pickle.dumps(dict(cleared.data.dask)))
    assert graph
    with dask.config.set(scheduler="processes", num_workers=1):
        np.testing.assert_array_equal(cleared.values, declouds.remove_clouds(image(pixels), Blur(), **TILES).values)


def test_the_work_grows_with_the_image_and_not_with_its_square(pixels):
    """Each chunk adds a few tasks: passing arrays to `dask.delayed` copies the tasks of the whole image each time."""

    def tasks(side):
        large = xarray.DataArray(
            dask.array.zeros((2, side, side), np.uint16, chunks=(2, 64, 64)), dims=("band", "y", "x")
        )
        return len(dict(declouds.remove_clouds(large, Blur(), **TILES, **CLOUDS).data.dask))

    assert tasks(2048) < 4.5 * tasks(1024)


def test_chunks_are_not_held_until_all_are_read():
    """The range is found from chunks all over the image, which are read again when they are cleared."""
    held, most = 0, 0

    def gone():
        nonlocal held
        held -= 1

    def read(block_info=None):
        nonlocal held, most
        rows, cols = (stop - start for start, stop in block_info[None]["array-location"][1:])
        chunk = np.arange(3 * rows * cols, dtype=np.uint16).reshape(3, rows, cols).view(Held)
        weakref.finalize(chunk, gone)
        held, most = held + 1, max(most, held + 1)
        return chunk

    chunks = ((3,), (68,) * 16, (68,) * 16)
    large = dask.array.map_blocks(read, chunks=chunks, dtype=np.uint16, meta=np.empty((0, 0, 0), np.uint16))
    model = OnePlain(any_units=True)
    large = xarray.DataArray(large, dims=("band", "y", "x"))
    cleared = declouds.remove_clouds(large, model, mask="none", tile=68, overlap=4)
    with dask.config.set(scheduler="synchronous"):
        assert int(cleared.max()) > 0
    assert 0 < most < 128  # of 256
