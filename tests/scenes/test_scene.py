import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from clearing import clear_scene
from PIL import Image, ImageOps

from declouds.errors import UserError
from declouds.scenes import cleared_image
from declouds.scenes.rasters.scene import scene_for
from declouds.scenes.sampling import loop as pass_loop
from declouds.scenes.sampling.loop import RowBuffer
from declouds.scenes.sampling.noise import noise_field
from declouds.scenes.sampling.tiles import Window, windows
from declouds.value_range import ValueRange

BYTES = ValueRange(0, 255)
COUNTS = ValueRange(0, 10000)


def identity(cloudy, noise):
    return cloudy


def write(path, pixels, **profile):
    bands, height, width = pixels.shape
    profile = {"transform": Affine(10, 0, 5e5, 0, -10, 5e6), "crs": "EPSG:32618", **profile}
    with rasterio.open(
        path, "w", driver="GTiff", count=bands, height=height, width=width, dtype=pixels.dtype, **profile
    ) as file:
        file.write(pixels)
    return path


def read(path):
    with rasterio.open(path) as file:
        return file.read()


def test_the_identity_gives_back_the_pixels_of_a_real_scene(shared, tmp_path):
    source = shared / "data" / "scene" / "landsat_bahamas.tif"
    report = clear_scene(
        identity, source, tmp_path / "clear.tif", bands=3, in_bands=3, value_range=BYTES, tile=128, overlap=32
    )
    np.testing.assert_array_equal(read(tmp_path / "clear.tif"), read(source))
    assert report.tally.windows == 8 * 8
    missing = (read(source) == 0).any(0)
    skipped = sum(missing[window.slices].all() for window in windows(*missing.shape, 128, 32))
    assert report.tally.skipped == skipped > 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clear.json", "clear.tif"]


def test_nodata_of_a_real_scene_stays_and_no_valid_pixel_becomes_it(shared, tmp_path):
    source = shared / "data" / "scene" / "landsat_bahamas.tif"
    clear_scene(
        lambda cloudy, noise: torch.full_like(cloudy, -5), source, tmp_path / "o.tif",
        bands=3, in_bands=3, value_range=BYTES,
    )  # fmt: skip
    before, after = read(source), read(tmp_path / "o.tif")
    missing = (before == 0).all(0)
    assert 0.3 < missing.mean() < 0.33
    np.testing.assert_array_equal(after[:, missing], before[:, missing])
    assert (after[:, ~missing] == 1).all()


@pytest.mark.parametrize("size", [(1, 1), (7, 300), (300, 7), (256, 256), (600, 90)])
@pytest.mark.parametrize("tiling", [dict(tile=64, overlap=16), dict(tile=50, overlap=40), dict(tile=64, overlap=0)])
def test_the_result_is_that_of_the_whole_image_at_once(tmp_path, size, tiling):
    """The prediction uses image and noise at the pixel alone, so windows cannot show if noise and blend are right."""

    def predict(cloudy, noise):
        return 0.6 * cloudy + 0.1 * noise

    pixels = np.random.default_rng(0).integers(1, 10000, (2, *size)).astype(np.float32)
    clear_scene(
        predict, write(tmp_path / "i.tif", pixels), tmp_path / "o.tif",
        bands=2, in_bands=2, value_range=COUNTS, seed=5, batch_size=3, **tiling,
    )  # fmt: skip
    noise = noise_field(5, 2, 0, 0, *size)
    expected = COUNTS.from_model(predict(COUNTS.to_model(pixels), noise), "float32")
    np.testing.assert_allclose(read(tmp_path / "o.tif"), expected, atol=0.02)  # of 10000


def test_blocks_wider_than_one_are_put_together(tmp_path, monkeypatch):
    monkeypatch.setattr(cleared_image, "BLOCK_COLS", 256)
    pixels = np.random.default_rng(0).integers(1, 10000, (1, 270, 600)).astype(np.uint16)
    clear_scene(
        identity, write(tmp_path / "i.tif", pixels), tmp_path / "o.tif", bands=1, in_bands=1, value_range=COUNTS
    )
    np.testing.assert_array_equal(read(tmp_path / "o.tif"), pixels)


def test_rotated_16_bit_scene_is_rounded_and_keeps_its_nodata(tmp_path):
    pixels = np.random.default_rng(1).integers(1, 10001, (4, 150, 130)).astype(np.uint16)
    pixels[:, :40, :30] = 0
    pixels[2, 100, 100] = 0  # a measurement: the other bands are not 0
    pixels[:, 120, 100] = 500
    turned = Affine(8.66, 5, 5e5, 5, -8.66, 5e6)
    source = write(tmp_path / "i.tif", pixels, nodata=0, transform=turned)

    def darker(cloudy, noise):
        return cloudy - 0.2  # 1000 counts

    report = clear_scene(
        darker, source, tmp_path / "o.tif", bands=4, in_bands=4, value_range=COUNTS, tile=64, overlap=16, batch_size=2
    )
    valid = (pixels != 0).any(0)
    expected = np.where(valid, np.maximum(pixels.astype(int) - 1000, 0), pixels)
    expected[:, valid & (expected == 0).all(0)] = 1  # all bands at 0 would be nodata
    assert (expected[:, 120, 100] == 1).all()
    np.testing.assert_array_equal(read(tmp_path / "o.tif"), expected)
    assert report.tally.clipped_values == 0
    assert report.tally.values == 4 * valid.sum()


def test_nan_is_nodata_and_the_network_never_sees_it(tmp_path):
    pixels = np.random.default_rng(2).uniform(0.1, 1.5, (2, 100, 100)).astype(np.float32)
    pixels[:, 20:50, 20:50] = np.nan
    pixels[1, 80, 80] = np.nan
    pixels[0, 90, 90] = np.inf
    seen = []

    def predict(cloudy, noise):
        seen.append((cloudy.isfinite().all().item(), cloudy.min().item()))
        return cloudy

    report = clear_scene(
        predict, write(tmp_path / "i.tif", pixels, nodata=np.nan), tmp_path / "o.tif",
        bands=2, in_bands=2, value_range=ValueRange(0, 1), tile=64, overlap=16,
    )  # fmt: skip
    valid = np.isfinite(pixels).all(0)
    assert all(finite for finite, _ in seen)
    assert min(low for _, low in seen) > -0.81  # 0.1 is -0.8: nothing darker was made up
    after = read(tmp_path / "o.tif")
    np.testing.assert_array_equal(after[:, ~valid].view(np.uint32), pixels[:, ~valid].view(np.uint32))
    np.testing.assert_allclose(after[:, valid], np.minimum(pixels[:, valid], 1), atol=1e-6)
    assert report.tally.clipped_values == (pixels[:, valid] > 1).sum() > 1000
    with rasterio.open(tmp_path / "o.tif") as file:
        assert np.isnan(file.nodata)


def test_nodata_given_by_hand_replaces_the_files_own(tmp_path):
    pixels = np.full((1, 40, 40), 50, np.uint8)
    pixels[0, :10] = 7
    source = write(tmp_path / "i.tif", pixels, nodata=99)
    clear_scene(
        lambda cloudy, noise: cloudy - 1, source, tmp_path / "o.tif",
        bands=1, in_bands=1, value_range=BYTES, nodata=7,
    )  # fmt: skip
    after = read(tmp_path / "o.tif")
    assert (after[0, :10] == 7).all() and (after[0, 10:] == 0).all()
    with rasterio.open(tmp_path / "o.tif") as file:
        assert file.nodata == 7


def test_a_mask_inside_the_file_is_obeyed_and_kept(tmp_path):
    pixels = np.random.default_rng(3).integers(100, 200, (3, 300, 280)).astype(np.uint8)
    mask = np.full((300, 280), 255, np.uint8)
    mask[100:270, 50:150] = 0
    for name, internal in (("inside.tif", True), ("beside.tif", False)):
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=internal):
            source = write(tmp_path / name, pixels)
            with rasterio.open(source, "r+") as file:
                file.write_mask(mask)
        assert (tmp_path / f"{name}.msk").exists() is not internal
        output = tmp_path / "out" / name
        output.parent.mkdir(exist_ok=True)
        clear_scene(
            lambda cloudy, noise: cloudy * 0 - 1, source, output,
            bands=3, in_bands=3, value_range=BYTES, tile=128, overlap=32,
        )  # fmt: skip
        with rasterio.open(output) as file:
            np.testing.assert_array_equal(file.dataset_mask(), mask)
            after = file.read()
        np.testing.assert_array_equal(after[:, mask == 0], pixels[:, mask == 0])
        assert (after[:, mask != 0] == 0).all()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "beside.json",
        "beside.tif",
        "inside.json",
        "inside.tif",
    ]


def test_a_scene_of_nodata_alone_costs_nothing(tmp_path):
    def never(cloudy, noise):
        raise AssertionError("called")

    source = write(tmp_path / "i.tif", np.zeros((3, 500, 400), np.uint8), nodata=0)
    report = clear_scene(never, source, tmp_path / "o.tif", bands=3, in_bands=3, value_range=BYTES)
    assert report.tally.skipped == report.tally.windows == 6
    assert not read(tmp_path / "o.tif").any()


def test_bands_that_are_only_conditions_are_not_written(tmp_path):
    pixels = np.random.default_rng(4).integers(1, 255, (5, 40, 50)).astype(np.uint8)
    source = write(tmp_path / "i.tif", pixels, photometric="MINISBLACK")
    clear_scene(lambda cloudy, noise: cloudy[:, :3], source, tmp_path / "o.tif", bands=3, in_bands=5, value_range=BYTES)
    np.testing.assert_array_equal(read(tmp_path / "o.tif"), pixels[:3])


def test_tile_order_batch_and_progress(tmp_path):
    source = write(tmp_path / "i.tif", np.random.default_rng(5).integers(1, 255, (1, 200, 300)).astype(np.uint8))
    outputs, calls = [], []
    for batch_size in (1, 2, 50):
        output = tmp_path / f"{batch_size}.tif"
        clear_scene(
            lambda cloudy, noise: cloudy + 0.1 * noise, source, output,
            bands=1, in_bands=1, value_range=BYTES, tile=96, overlap=24, batch_size=batch_size,
            progress=lambda title, done, total: calls.append((done, total)),
        )  # fmt: skip
        outputs.append(read(output))
    np.testing.assert_array_equal(outputs[0], outputs[1])
    np.testing.assert_array_equal(outputs[0], outputs[2])
    assert calls[-1] == (12, 12)
    assert {total for _, total in calls} == {12}


@pytest.mark.parametrize("height", [600, 4000])
def test_the_memory_does_not_grow_with_the_height(tmp_path, monkeypatch, height):
    made, reads = [], []

    class Spy(RowBuffer):
        def __init__(self, *args):
            super().__init__(*args)
            made.append(self.sums.shape)

    monkeypatch.setattr(pass_loop, "RowBuffer", Spy)
    monkeypatch.setattr(
        "declouds.scenes.rasters.scene.read_window",
        lambda scene, window, *rest: (
            reads.append(window),
            (np.ones((1, window.height, window.width), np.uint8), None),
        )[1],
    )
    source = write(tmp_path / "i.tif", np.ones((1, height, 70), np.uint8))
    clear_scene(identity, source, tmp_path / "o.tif", bands=1, in_bands=1, value_range=BYTES, tile=64, overlap=16)
    assert made[0] == (2, 64, 70) and all(rows <= 64 for _, rows, _ in made)  # the blend, and rows being written
    assert max(window.height for window in reads) == 256


def taken(buffer, until):
    """Return the means of the rows above ``until``, which leave."""
    rows = buffer.take(until)
    assert buffer.first == until
    return rows.mean(Window(rows.first, rows.area.col, until - rows.first, rows.area.width))[0].tolist()


def test_the_row_buffer_moves_down():
    buffer = RowBuffer(1, 6, Window(0, 0, 9, 3), 0)
    buffer.add(Window(0, 0, 4, 3), np.ones((1, 4, 3)), np.ones((4, 3)))
    buffer.add(Window(2, 1, 4, 2), np.full((1, 4, 2), 2.0), np.ones((4, 2)))
    assert buffer.mean(Window(0, 1, 3, 1))[0].tolist() == [[1], [1], [1.5]]
    assert taken(buffer, 3) == [[1, 1, 1], [1, 1, 1], [1, 1.5, 1.5]]
    buffer.add(Window(5, 0, 4, 3), np.ones((1, 4, 3)), np.full((4, 3), 3.0))
    assert taken(buffer, 9) == [[1, 1.5, 1.5], [0, 2, 2], [1, 1.25, 1.25], [1, 1, 1], [1, 1, 1], [1, 1, 1]]


def test_the_row_buffer_takes_what_lies_in_its_area():
    buffer = RowBuffer(1, 4, Window(2, 1, 4, 2), 3)
    buffer.add(Window(1, 0, 4, 2), np.arange(8.0).reshape(1, 4, 2), np.ones((4, 2)))
    assert taken(buffer, 6) == [[5, 0], [7, 0], [0, 0]]


def test_an_8_bit_image_band_that_gdal_calls_transparency_is_an_image_band(tmp_path, caplog):
    """GDAL marks the fourth band of an 8-bit GeoTIFF so unless told otherwise, near infrared included."""
    pixels = np.random.default_rng(6).integers(0, 255, (4, 60, 60)).astype(np.uint8)
    pixels[3, :30] = 0
    source = write(tmp_path / "i.tif", pixels)
    with rasterio.open(source) as file:
        assert file.colorinterp[3].name == "alpha"
    clear_scene(lambda cloudy, noise: -cloudy, source, tmp_path / "o.tif", bands=4, in_bands=4, value_range=BYTES)
    np.testing.assert_array_equal(read(tmp_path / "o.tif"), 255 - pixels)
    assert "band 4 is marked as transparency" in caplog.text


def test_a_measured_band_is_not_taken_for_transparency(tmp_path):
    pixels = np.random.default_rng(6).integers(0, 255, (4, 60, 60)).astype(np.uint8)
    source, target = write(tmp_path / "i.tif", pixels), tmp_path / "o.tif"
    three = dict(bands=3, in_bands=3, value_range=BYTES)
    with pytest.raises(UserError, match=r"band 4 is marked as transparency, and its values .0 to 254. vary.*unmark it"):
        clear_scene(identity, source, target, **three)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["i.tif"]
    pixels[3] = np.where(pixels[3] > 50, 255, pixels[3])  # opaque, with a soft edge
    clear_scene(identity, write(source, pixels), target, **three)
    np.testing.assert_array_equal(read(target), pixels)


def test_transparency_is_not_taken_for_a_measured_band(tmp_path):
    pixels = np.random.default_rng(6).integers(0, 255, (4, 60, 60)).astype(np.uint8)
    pixels[3] = 255 * (pixels[3] > 50)
    source, target = write(tmp_path / "i.tif", pixels), tmp_path / "o.tif"
    four = dict(bands=4, in_bands=4, value_range=BYTES)
    with pytest.raises(
        UserError, match=r"band 4 .* holds that .mostly 255., and the model takes 4 image bands.*--bands"
    ):
        clear_scene(identity, source, target, **four)
    with scene_for(source, BYTES, 4, 4, asked=list("1234")) as scene:
        assert scene.indexes == [1, 2, 3, 4]


@pytest.mark.parametrize("turn", [1, 6])
def test_the_result_of_a_picture_lies_as_the_picture_in_viewers(tmp_path, caplog, turn):
    exif = Image.Exif()
    exif[274] = turn
    pixels = np.random.default_rng(0).integers(0, 255, (40, 60, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "i.jpg", exif=exif, subsampling=0)
    three = dict(bands=3, in_bands=3, value_range=BYTES)
    clear_scene(identity, tmp_path / "i.jpg", tmp_path / "o.png", **three)
    shown, given = (ImageOps.exif_transpose(Image.open(tmp_path / name)) for name in ("o.png", "i.jpg"))
    np.testing.assert_allclose(np.int16(shown), np.int16(given), atol=4)  # decoders round in their own ways
    assert ("its EXIF orientation (6) turns it in viewers" in caplog.text) == (turn == 6)
    clear_scene(identity, tmp_path / "o.png", tmp_path / "again.png", **three)
    np.testing.assert_array_equal(ImageOps.exif_transpose(Image.open(tmp_path / "again.png")), shown)
    caplog.clear()
    clear_scene(identity, tmp_path / "i.jpg", tmp_path / "third.tif", **three)
    assert ("carries none, and is shown as stored" in caplog.text) == (turn == 6)
