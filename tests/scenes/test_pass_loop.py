"""The loop over windows: what is skipped, cut into columns, or halved, gives the same pixels."""

import json
import threading

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from clearing import clear_scene
from test_joint import PixelModel

from declouds.errors import UserError
from declouds.samplers.ddim import DDIM
from declouds.scenes import cleared_image, memory
from declouds.scenes.api import remove_clouds, remover_of
from declouds.scenes.options import SceneOptions
from declouds.scenes.sampling import loop as pass_loop
from declouds.scenes.sampling.image import Image
from declouds.scenes.sampling.passes import Pass
from declouds.scenes.sampling.ranks import Ranks
from declouds.scenes.sampling.store import MemoryJob
from declouds.scenes.sampling.tiles import Tiling, Window, windows
from declouds.value_range import ValueRange

PATIENCE = 120  # seconds that a busy machine may take: only a fault takes as long
MODEL = dict(bands=1, in_bands=1, value_range=ValueRange(0, 255))


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(1, 255, (1, 150, 210)).astype(np.uint8)


@pytest.fixture
def scene(tmp_path, pixels):
    return write(tmp_path / "scene.tif", pixels)


def write(path, pixels, **profile):
    grid = dict(crs="EPSG:32618", transform=Affine(10, 0, 5e5, 0, -10, 5e6)) | profile
    count, height, width = pixels.shape
    with rasterio.open(path, "w", "GTiff", width, height, count, dtype=pixels.dtype, **grid) as file:
        file.write(pixels)
    return path


def read(path):
    with rasterio.open(path) as file:
        return file.read()


def blur(cloudy, noise):
    return torch.nn.functional.avg_pool2d(cloudy, 5, 1, 2) + 0.05 * noise


def test_clear_pixels_are_untouched_and_clear_windows_cost_nothing(tmp_path, scene, pixels):
    seen = []

    def predict(cloudy, noise):
        seen.append(len(cloudy))
        return -cloudy

    cloud = np.zeros((1, 150, 210), np.uint8)
    cloud[0, 100:120, 20:60] = 1
    report = clear_scene(
        predict, scene, tmp_path / "o.tif", **MODEL, tile=50, overlap=10, mask=write(tmp_path / "mask.tif", cloud)
    )
    result = read(tmp_path / "o.tif")
    np.testing.assert_array_equal(result[cloud == 0], pixels[cloud == 0])
    np.testing.assert_array_equal(result[cloud == 1], 255 - pixels[cloud == 1])
    assert sum(seen) == report.tally.windows - report.tally.skipped == 2 * 2
    assert report.tally.pixels["cleared"] == 20 * 40


def test_a_mask_without_the_values_asked_for_is_warned_of(tmp_path, scene, pixels, caplog):
    mask = write(tmp_path / "mask.tif", np.full((1, 150, 210), 3, np.uint8))
    report = clear_scene(blur, scene, tmp_path / "o.tif", **MODEL, mask=mask, mask_values=[8, 9])
    assert "no pixel is 8 or 9: nothing is cleared" in caplog.text
    assert report.tally.skipped == report.tally.windows
    np.testing.assert_array_equal(read(tmp_path / "o.tif"), pixels)


def test_the_edge_fades_in_inside_the_cloud(tmp_path, scene, pixels):
    cloud = np.zeros((1, 150, 210), np.uint8)
    cloud[0, 40:100, 50:150] = 1
    mask = write(tmp_path / "mask.tif", cloud)
    clear_scene(lambda c, n: -c, scene, tmp_path / "o.tif", **MODEL, tile=64, overlap=16, mask=mask, feather=3)
    result, expected = read(tmp_path / "o.tif").astype(int), 255 - pixels.astype(int)
    np.testing.assert_array_equal(result[cloud == 0], pixels[cloud == 0])
    np.testing.assert_array_equal(result[0, 43:97, 53:147], expected[0, 43:97, 53:147])
    for depth, share in enumerate((0.25, 0.5, 0.75)):
        row = share * expected[0, 40 + depth, 60:140] + (1 - share) * pixels[0, 40 + depth, 60:140]
        assert np.abs(result[0, 40 + depth, 60:140] - row).max() <= 0.5


def test_a_detector_finds_the_clouds(tmp_path, scene, pixels, monkeypatch):
    from dataclasses import replace

    from declouds.scenes import clear as module

    class Left:
        margin = 0

        def __call__(self, image):
            return np.broadcast_to(np.arange(image.shape[2]) < 80, image.shape[1:])

    clear = module.clear_scene
    monkeypatch.setattr(
        module,
        "clear_scene",
        lambda remover, *args, **kwargs: clear(replace(remover, detector=Left()), *args, **kwargs),
    )
    clear_scene(lambda c, n: -c, scene, tmp_path / "o.tif", **MODEL, tile=64, overlap=16, mask="auto")
    result = read(tmp_path / "o.tif")
    np.testing.assert_array_equal(result[..., 80:], pixels[..., 80:])
    np.testing.assert_array_equal(result[..., :80], 255 - pixels[..., :80])


@pytest.mark.parametrize("tiling", [dict(tile=50, overlap=10), dict(tile=40, overlap=30), dict(tile=64, overlap=0)])
def test_columns_cut_for_want_of_memory_give_the_same_pixels(tmp_path, scene, monkeypatch, tiling):
    clear_scene(blur, scene, tmp_path / "whole.tif", **MODEL, **tiling)
    monkeypatch.setattr(cleared_image, "BUFFER", 4 * 2 * tiling["tile"] * 60)
    monkeypatch.setattr("declouds.scenes.clear.BUFFER", 4 * 2 * tiling["tile"] * 60)
    monkeypatch.setattr(pass_loop, "COLUMNS", 37)
    widths = []

    class Spy(cleared_image.PassLoop):
        def run(self, passes, areas, ranks):
            widths.extend(area.width for area in areas)
            super().run(passes, areas, ranks)

    monkeypatch.setattr(cleared_image, "PassLoop", Spy)
    clear_scene(blur, scene, tmp_path / "cut.tif", **MODEL, **tiling)
    assert len(widths) > 1 and sum(widths) == 210
    np.testing.assert_array_equal(read(tmp_path / "cut.tif"), read(tmp_path / "whole.tif"))


def test_a_batch_that_does_not_fit_is_halved_and_the_rest_goes_on(tmp_path, scene, caplog):
    sizes = []

    def predict(cloudy, noise):
        sizes.append(len(cloudy))
        if len(cloudy) > 2:
            raise torch.OutOfMemoryError("no room")
        return blur(cloudy, noise)

    clear_scene(predict, scene, tmp_path / "o.tif", **MODEL, tile=50, overlap=10, batch_size=5)
    clear_scene(blur, scene, tmp_path / "one.tif", **MODEL, tile=50, overlap=10)
    np.testing.assert_array_equal(read(tmp_path / "o.tif"), read(tmp_path / "one.tif"))
    assert sizes.count(5) == 1 and max(sizes[1:]) == 2
    assert "5 windows at a time do not fit the device's memory: going on with 2" in caplog.text


@pytest.mark.parametrize("batch_size", [2, 3, 4])
def test_no_window_is_left_out_when_batches_shrink_within_a_line(tmp_path, scene, batch_size):
    def predict(cloudy, noise):
        if len(cloudy) > 1:
            raise torch.OutOfMemoryError("no room")
        return blur(cloudy, noise)

    clear_scene(predict, scene, tmp_path / "o.tif", **MODEL, tile=50, overlap=10, batch_size=batch_size)
    clear_scene(blur, scene, tmp_path / "one.tif", **MODEL, tile=50, overlap=10)
    np.testing.assert_array_equal(read(tmp_path / "o.tif"), read(tmp_path / "one.tif"))


def test_a_single_window_that_does_not_fit_is_told(tmp_path, scene):
    def predict(cloudy, noise):
        raise torch.OutOfMemoryError("no room")

    with pytest.raises(UserError, match=r"single window of 50 x 50 pixels does not fit .* smaller --tile"):
        clear_scene(predict, scene, tmp_path / "o.tif", **MODEL, tile=50, overlap=10, batch_size=4)
    assert [path.name for path in tmp_path.iterdir()] == ["scene.tif"]


def test_samples_tell_the_spread_of_the_noise(tmp_path, scene):
    model = PixelModel(DDIM(3))
    pixels = np.random.default_rng(1).uniform(0.2, 0.8, (2, 60, 80)).astype(np.float32)
    source = write(tmp_path / "f.tif", pixels)
    common = dict(tile=48, overlap=16)
    for name, options in (("one", dict(quality=True)), ("many", dict(quality=True, samples=4))):
        remove_clouds(source, model, output=tmp_path / f"{name}.tif", **common, **options)
    np.testing.assert_array_equal(read(tmp_path / "one.tif"), read(tmp_path / "many.tif"))
    with rasterio.open(tmp_path / "many_quality.tif") as file:
        assert file.descriptions == (
            *("weight of the prior", "standard deviation of band 1", "standard deviation of band 2", "changed"),
        )
        assert file.crs == "EPSG:32618"
        weight, *deviations, changed = file.read()
    np.testing.assert_allclose(weight, 0.25, atol=1e-6)
    assert (changed == 1).all()
    seeds = [remove_clouds(pixels, model, seed=seed, **common) for seed in range(4)]
    assert np.mean(deviations) == pytest.approx(np.std(seeds, axis=0, ddof=1).mean(), rel=0.1)
    with rasterio.open(tmp_path / "one_quality.tif") as file:
        assert file.descriptions == ("weight of the prior", "changed")


def test_a_recorded_calibration_tells_how_far_off_the_result_is(tmp_path, scene):
    model = PixelModel(DDIM(3))
    pixels = np.random.default_rng(1).uniform(0.2, 0.8, (2, 60, 80)).astype(np.float32)
    source = write(tmp_path / "f.tif", pixels)
    options = dict(tile=48, overlap=16, quality=True, samples=4)
    spread = dict(a=[0.1, 0.2], b=[1.5, 0.0], samples=4)
    records = dict(
        raw={}, calibrated=dict(spread=spread | dict(steps=model.steps)), other=dict(spread=spread | dict(steps=99))
    )
    found = {}
    for name, inference in records.items():
        model.record = dict(inference=inference)
        remove_clouds(source, model, output=tmp_path / f"{name}.tif", **options)
        with rasterio.open(tmp_path / f"{name}_quality.tif") as file:
            words, found[name] = file.descriptions[1:3], file.read()[1:3]
        kind = "calibrated standard deviation of" if name == "calibrated" else "standard deviation of"
        assert words == (f"{kind} band 1", f"{kind} band 2")
        told = json.loads((tmp_path / f"{name}.json").read_text())["model"]["calibration"]
        assert (told is not None) == (name == "calibrated")
    np.testing.assert_array_equal(found["other"], found["raw"])
    half = (model.value_range.high - model.value_range.low) / 2  # from model to sensor units
    a, b = (np.reshape(spread[name], (2, 1, 1)) for name in "ab")
    expected = np.sqrt((a * half) ** 2 + (b**2 + 3 / 4) * found["raw"] ** 2)
    np.testing.assert_allclose(found["calibrated"], expected, rtol=1e-5)


def test_memory_that_does_not_suffice_is_told_with_what_would(monkeypatch):
    options = SceneOptions(tile=64, overlap=16)
    monkeypatch.setattr(memory, "peak_memory", lambda: 2**30)
    with remover_of(PixelModel(DDIM(2)), options) as remover:
        image = Image(500, 70, None, ValueRange(0, 1))
        given = (remover.passes, 2, 2, image, options, torch.device("cpu"))
        assert memory.buffer_within(3 * 2**30, *given) == (2 * 2**30 - memory.REST) // memory.COPIES
        with pytest.raises(UserError, match=r"--memory 1 GiB: the network alone takes 1\.25 GiB .* at least 1\.25 GiB"):
            memory.buffer_within(2**30, *given)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(blend="none"), "blend = 'none': choose one of joint, final"),
        (dict(taper="hann"), "choose one of cosine, linear"),
        (dict(samples=0), "1 to 100 times"),
        (dict(samples=3), "goes into --quality"),
        (dict(dilate=3), "give --mask too"),
        (dict(mask="m.tif", feather=-1), "counted from 0"),
        (dict(mask="auto", mask_values=[1]), "leave it out with --mask auto"),
    ],
)
def test_choices_that_make_no_sense(options, message):
    with pytest.raises(UserError, match=message):
        SceneOptions(**options).check()


def test_the_commands_defaults_are_those_of_the_options():
    import argparse
    from dataclasses import asdict

    from declouds.commands import predict

    parser = argparse.ArgumentParser()
    predict.add_arguments(parser)
    args = parser.parse_args(["a.tif", "-o", "b.tif", "--checkpoint", "c"])
    assert predict.options_of(args) == SceneOptions()
    assert set(asdict(SceneOptions())) <= set(vars(args))


@pytest.mark.parametrize(
    ("text", "expected"), [("4G", 4 * 2**30), ("1.5 GiB", 3 * 2**29), ("800m", 800 * 2**20), ("7", 7)]
)
def test_amounts_of_memory(text, expected):
    from declouds.commands.predict import size_in_bytes

    assert size_in_bytes(text) == expected


class Watched(MemoryJob):
    """Work in memory that waits in `note_rows` as long as ``wait`` says."""

    wait = staticmethod(lambda: None)

    def note_rows(self, number, area, row):
        self.wait()


def clear_in_memory(compute, job, image_read=None):
    """Run one pass over 2 x 3 windows, computed one at a time."""
    values, valid = np.ones((1, 60, 90), np.float32), np.ones((60, 90), bool)

    def read(window):
        if image_read is not None:
            image_read(window)
        return values[:, *window.slices], valid[window.slices]

    image = Image(60, 90, read, ValueRange(0, 255))
    tiling = Tiling(32, 2)
    loop = pass_loop.PassLoop(image, windows(60, 90, 32, 2), job, 1, tiling, 0)
    loop.run([Pass("windows", "out", 1, compute)], [Window(0, 0, 60, 90)], Ranks())
    return job.raster("out", 1).values


def test_windows_are_read_while_others_are_computed():
    reads, second = [], threading.Event()

    def image_read(window):
        reads.append(threading.current_thread())
        if len(reads) == 2:
            second.set()

    def compute(cloudy):
        assert second.wait(PATIENCE), "the second window is not read before the first is computed"
        return cloudy

    clear_in_memory(compute, Watched(60, 90), image_read)
    assert len(reads) == 6 and threading.current_thread() not in reads


def test_rows_are_written_while_windows_below_are_computed():
    computed, job = [], Watched(60, 90)
    below = threading.Event()

    def compute(cloudy):
        computed.append(cloudy)
        if len(computed) > 3:
            below.set()
        return 2 * cloudy

    def wait():
        assert below.wait(PATIENCE), "no window of the second line is computed before the first is written"

    job.wait = wait
    result = clear_in_memory(compute, job)
    np.testing.assert_allclose(result, 2 * ValueRange(0, 255).to_model(np.ones((1, 60, 90), np.float32)), rtol=1e-6)


def test_an_error_in_reading_or_writing_stops_the_pass():
    def fails(*window):
        raise UserError("the disk is full")

    job = Watched(60, 90)
    job.wait = fails
    with pytest.raises(UserError, match="the disk is full"):
        clear_in_memory(lambda cloudy: cloudy, job)
    with pytest.raises(UserError, match="the disk is full"):
        clear_in_memory(lambda cloudy: cloudy, Watched(60, 90), fails)
