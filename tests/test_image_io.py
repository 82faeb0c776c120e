import os
import sys
import warnings
import zlib

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from declouds.errors import UserError
from declouds.image_io import ImageHeader, image_header, read_image, read_masked, with_orientation, write_image

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def picture(bands=3, height=40, width=56, dtype="uint8", seed=0):
    return np.random.default_rng(seed).integers(1, 200, (bands, height, width)).astype(dtype)


@pytest.mark.parametrize(
    ("bands", "dtype", "suffix"),
    [(1, "uint8", ".png"), (3, "uint8", ".png"), (4, "uint8", ".png"), (13, "uint16", ".tif"), (3, "float32", ".tif")],
)
def test_written_images_come_back_bit_by_bit(tmp_path, bands, dtype, suffix):
    array = picture(bands, dtype=dtype)
    path = write_image(tmp_path / "image", array)
    assert path == tmp_path / f"image{suffix}"
    image_bands = (1, 2, 3) if bands == 4 else tuple(range(1, bands + 1))  # the fourth of a PNG is transparency
    header = ImageHeader(bands, 40, 56, dtype, image_bands, bands == 4 or dtype == "float32", None, ((1, 0),) * bands)
    names = ("red", "green", "blue", "")[:bands] if dtype == "uint8" and bands > 1 else ("",) * bands
    assert image_header(path) == header._replace(names=names)
    np.testing.assert_array_equal(read_image(path), array)
    assert read_image(path).dtype == dtype
    assert os.listdir(tmp_path) == [path.name]  # no .aux.xml, no temporary file


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_a_window_is_read_as_from_the_whole_image(tmp_path, suffix):
    path = write_image(tmp_path / f"image{suffix}", picture())
    header, values, masks = read_masked(path, place=(7, 11, 20, 30))
    assert (header.height, header.width, masks) == (40, 56, None)
    np.testing.assert_array_equal(values, picture()[:, 7:27, 11:41])


def test_reading_a_png_warns_about_nothing(tmp_path):
    path = write_image(tmp_path / "a.png", picture())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_image(path)
        image_header(path)


@pytest.fixture(scope="module")
def whole_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    profile = {"height": 40, "width": 56, "count": 3, "dtype": "uint8"}
    kinds = {
        "a.png": {"driver": "PNG"},
        "a.jpg": {"driver": "JPEG"},
        "progressive.jpg": {"driver": "JPEG", "PROGRESSIVE": "ON"},
        "plain.tif": {"driver": "GTiff"},
        "deflate.tif": {"driver": "GTiff", "compress": "deflate", "tiled": True, "blockxsize": 16, "blockysize": 16},
        "bands.tif": {"driver": "GTiff", "interleave": "band", "compress": "lzw"},
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, options in kinds.items():
            with rasterio.open(folder / name, "w", **profile, **options) as file:
                file.write(picture())
    return {name: (folder / name).read_bytes() for name in kinds}


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "progressive.jpg", "plain.tif", "deflate.tif", "bands.tif"])
def test_a_file_cut_short_anywhere_is_an_error_and_never_pixels(tmp_path_factory, whole_files, name):
    path = tmp_path_factory.mktemp("cut") / name
    data = whole_files[name]
    path.write_bytes(data)
    assert read_image(path).shape == (3, 40, 56)

    @settings(max_examples=40, deadline=None)
    @given(st.one_of(st.integers(0, len(data) - 1), st.integers(len(data) - 20, len(data) - 1)))
    def cut(length):
        path.write_bytes(data[:length])
        with pytest.raises(UserError, match=name):
            read_image(path)

    cut()


@settings(max_examples=60, deadline=None)
@given(st.integers(8, 10**9), st.integers(1, 255))
def test_a_changed_byte_in_a_png_is_found(whole_files, tmp_path_factory, at, change):
    data = bytearray(whole_files["a.png"])
    data[at % (len(data) - 8) + 8] ^= change
    path = tmp_path_factory.mktemp("changed") / "a.png"
    path.write_bytes(bytes(data))
    with pytest.raises(UserError, match=r"a.png"):
        read_image(path)


def test_a_geotiff_whose_writer_was_killed_is_an_error(tmp_path):
    path = tmp_path / "killed.tif"
    if os.fork() == 0:  # a child that dies as after kill -9, in the middle of writing
        file = rasterio.open(path, "w", driver="GTiff", height=512, width=512, count=3, dtype="uint8", tiled=True)
        file.write(picture(3, 256, 512), window=rasterio.windows.Window(0, 0, 512, 256))
        os._exit(0)
    os.wait()
    with rasterio.open(path) as file:
        assert (file.read() == 0).all()  # what GDAL alone gives: zeros, and no error
    with pytest.raises(UserError, match=r"killed.tif.*lacks pixels.*write it again"):
        read_image(path)


@pytest.mark.parametrize("content", [b"", b"hello", b"<VRTDataset/>"])
def test_other_files_are_refused_by_name(tmp_path, content):
    (tmp_path / "no.png").write_bytes(content)
    for reader in (read_image, image_header):
        with pytest.raises(UserError, match=r"no.png: is not a PNG, JPEG or GeoTIFF"):
            reader(tmp_path / "no.png")


def test_missing_files_and_folders_are_refused_by_name(tmp_path):
    for path in (tmp_path / "none.png", tmp_path):
        with pytest.raises(UserError, match=f"{path.name}: cannot be opened"):
            read_image(path)


def test_a_palette_is_not_taken_for_grey(tmp_path):
    path = tmp_path / "palette.tif"
    with rasterio.open(path, "w", driver="GTiff", height=8, width=8, count=1, dtype="uint8") as file:
        file.write(np.zeros((1, 8, 8), np.uint8))
        file.write_colormap(1, {0: (255, 0, 0, 255)})
    with pytest.raises(UserError, match=r"palette.tif.*-expand rgb"):
        read_image(path)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("a.jpg", picture(), "written as .png or .tif"),
        ("a.png", picture(5), "PNG holds uint8 with 1 to 4 bands"),
        ("a.png", picture(dtype="uint16"), "write a .tif"),
        ("a.png", picture()[0], "an array"),
        ("nowhere/a.png", picture(), "create it first"),
    ],
)
def test_what_cannot_be_written_leaves_nothing_behind(tmp_path, name, array, message):
    with pytest.raises(UserError, match=message):
        write_image(tmp_path / name, array)
    assert os.listdir(tmp_path) == []


def test_an_existing_file_is_kept_unless_asked(tmp_path):
    path = write_image(tmp_path / "a.png", picture(seed=1))
    before = path.read_bytes()
    with pytest.raises(UserError, match="exists already"):
        write_image(path, picture(seed=2))
    assert path.read_bytes() == before
    write_image(path, picture(seed=2), overwrite=True)
    np.testing.assert_array_equal(read_image(path), picture(seed=2))


@pytest.mark.skipif(sys.platform == "win32", reason="no resource limits")
def test_a_full_disk_keeps_the_old_file(tmp_path, monkeypatch):
    path = write_image(tmp_path / "a.png", picture(seed=1))
    before = path.read_bytes()

    def full(self, data):
        with open(self, "wb") as file:
            file.write(data[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(path), "write_bytes", full)
    with pytest.raises(UserError, match=r"a.png: cannot be written \(No space left on device\)"):
        write_image(path, picture(seed=2), overwrite=True)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.png"]


def test_a_tiff_of_several_pages_is_refused(tmp_path):
    """Thumbnails and overviews are smaller, and are no pages."""
    for name, other in (("pages.tif", 40), ("taller.tif", 41), ("thumbnail.tif", 10)):
        for height in (40, other):
            size = dict(count=3, height=height, width=height, dtype="uint8")
            more = (tmp_path / name).exists()
            with rasterio.open(tmp_path / name, "w", driver="GTiff", append_subdataset=more, **size) as file:
                file.write(picture(3, height, height))
    for name in ("pages.tif", "taller.tif"):
        for read in (image_header, read_image):
            with pytest.raises(UserError, match=r"holds 2 images \(pages\), and one is read.*GTIFF_DIR:N:FILE.tif"):
                read(tmp_path / name)
    with rasterio.open(tmp_path / "thumbnail.tif", "r+") as file:
        file.build_overviews([2])
    np.testing.assert_array_equal(read_image(tmp_path / "thumbnail.tif"), picture(3, 40, 40))


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("turn", [None, 1, 3, 6, 8])
def test_the_exif_orientation_is_known(tmp_path, suffix, turn):
    exif = Image.Exif()
    if turn is not None:
        exif[0x010F], exif[274] = "maker", turn
    Image.fromarray(np.moveaxis(picture(), 0, -1)).save(tmp_path / f"a.{suffix}", exif=exif)
    assert image_header(tmp_path / f"a.{suffix}").orientation == (turn or 1)
    assert image_header(tmp_path / f"a.{suffix}")[1:3] == (40, 56)


def test_an_orientation_that_others_read(tmp_path):
    path = write_image(tmp_path / "a.png", picture())
    path.write_bytes(with_orientation(path.read_bytes(), 6))
    assert Image.open(path).getexif()[274] == image_header(path).orientation == 6
    np.testing.assert_array_equal(read_image(path), picture())


@pytest.mark.parametrize("exif", [b"", b"MM", b"MM\0*\xff\xff\xff\xff", b"II*\0\x08\0\0\0\x05\0", b"nonsense" * 9])
def test_damaged_exif_data_turn_nothing(tmp_path, exif):
    path = write_image(tmp_path / "a.png", picture())
    whole, chunk = path.read_bytes(), b"eXIf" + exif
    crc = zlib.crc32(chunk).to_bytes(4, "big")
    path.write_bytes(whole[:33] + len(exif).to_bytes(4, "big") + chunk + crc + whole[33:])
    assert image_header(path).orientation == 1
