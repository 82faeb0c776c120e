"""A whole image in a GPU's memory; the CPU stands in for the GPU."""

import numpy as np
import pytest
import torch

from declouds.errors import UserError
from declouds.models import build_model
from declouds.models.cloud_remover import CloudRemover
from declouds.scenes import cleared_image
from declouds.scenes.api import remove_clouds
from declouds.scenes.sampling import loop, on_device

TILING = dict(tile=32, overlap=8)


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(1, 255, (3, 70, 90), dtype=np.uint8)


@pytest.fixture
def held(monkeypatch):
    """Let the device have room, and return the list of the images that it holds."""
    runs = []

    class Spy(on_device.DeviceLoop):
        def run(self, *arguments):
            runs.append(self.batch_size)
            super().run(*arguments)

    monkeypatch.setattr(cleared_image, "DeviceLoop", Spy)
    monkeypatch.setattr(cleared_image, "free_memory", lambda device: 2**30)
    return runs


def model(sampler):
    torch.manual_seed(0)
    network = dict(base=8, multipliers=(1, 2), blocks=1, attention_at=())
    built = build_model(
        dict(
            type="DiffusionEnhancement",
            denoiser=dict(type="ConditionalUNet", **network),
            reference=dict(type="GainOffsetUNet", base=8, multipliers=(1, 2)),
            fusion=dict(type="WeightAllocation", **network),
            noise_schedule=dict(type="LinearSchedule", num_steps=1000),
            sampler=sampler,
            bands=3,
            value_range=(0, 255),
        )
    )
    for parameter in built.parameters():  # layers that start at zero would make all windows equal
        parameter.data += 0.05 * torch.randn(parameter.shape)
    return built


@pytest.mark.parametrize("sampler", [dict(type="DDIM", steps=3), dict(type="DDPM", steps=3)])
@pytest.mark.parametrize("blend", ["joint", "final"])
def test_an_image_on_the_device_gives_the_pixels_of_one_in_files(image, held, monkeypatch, sampler, blend):
    options = dict(TILING, blend=blend, batch_size=3, nodata=0)
    image[:, 20:40, 10:30] = 0
    there = remove_clouds(image, model(sampler), **options)
    assert held == [3]
    monkeypatch.setattr(cleared_image, "free_memory", lambda device: 1000)
    here = remove_clouds(image, model(sampler), **options)
    assert len(held) == 1, "an image without room is cleared in a stream"
    difference = np.abs(there.astype(int) - here)
    assert difference.max() <= 1 and (difference > 0).mean() < 0.001
    assert (here != image).mean() > 0.5


def test_a_file_with_quality_and_a_mask_is_the_same(tmp_path, image, held, monkeypatch):
    import rasterio

    with rasterio.open(tmp_path / "scene.tif", "w", "GTiff", 90, 70, 3, dtype="uint8") as file:
        file.write(image)
    cloud = np.zeros((1, 70, 90), np.uint8)
    cloud[0, 5:30, 5:30] = 1
    with rasterio.open(tmp_path / "mask.tif", "w", "GTiff", 90, 70, 1, dtype="uint8") as file:
        file.write(cloud)
    options = dict(TILING, mask=tmp_path / "mask.tif", quality=True, samples=2)
    pixels = []
    for room in (2**30, 1000):
        monkeypatch.setattr(cleared_image, "free_memory", lambda device, room=room: room)
        output = tmp_path / f"{room}.tif"
        remove_clouds(tmp_path / "scene.tif", model(dict(type="DDIM", steps=2)), output=output, **options)
        for path in (output, output.with_name(f"{room}_quality.tif")):
            with rasterio.open(path) as file:
                pixels.append(file.read().astype(float))
    np.testing.assert_allclose(pixels[0], pixels[2], atol=1)
    np.testing.assert_allclose(pixels[1], pixels[3], atol=1)
    np.testing.assert_array_equal(pixels[0][:, cloud[0] == 0], image[:, cloud[0] == 0])
    assert len(held) == 1 and not list(tmp_path.glob(".*"))


def test_non_finite_values_name_the_window(image, held):
    class Failing(CloudRemover):
        def predict(self, cloudy, noise, *, name=None, variant=None, record=None):
            return torch.where(cloudy == cloudy[..., -1:, -1:], cloudy, cloudy / 0 * 0)

    with pytest.raises(UserError, match=r"non-finite values .* in the window at row 0, column 0"):
        remove_clouds(image, Failing(bands=3, value_range=(0, 255)), **TILING)


class Peaks:
    """Stands in for the memory of a GPU: a window takes 1 GiB."""

    def __init__(self, monkeypatch, free):
        monkeypatch.setattr(loop, "free_memory", lambda device: free)
        monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: None)
        monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 2**30)
        monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 2 * 2**30)


@pytest.mark.parametrize(("free", "expected"), [(None, 1), (2**28, 1), (8 * 2**30, 4), (2**40, 64)])
def test_as_many_windows_are_computed_at_a_time_as_fit_the_free_memory(image, monkeypatch, free, expected):
    Peaks(monkeypatch, free)
    sizes = []

    class Counting(CloudRemover):
        def predict(self, cloudy, noise, *, name=None, variant=None, record=None):
            sizes.append(len(cloudy))
            return cloudy

    remove_clouds(image, Counting(bands=3, value_range=(0, 255)), tile=8, overlap=0)
    trials = [] if free is None else [1]
    windows = 9 * 12  # the streamed loop computes a row of windows at most
    assert sizes[: len(trials)] == trials and sum(sizes[len(trials) :]) == windows
    assert max(sizes) == min(expected, 12)
