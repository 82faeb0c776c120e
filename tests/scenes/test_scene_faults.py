"""Every fault ends in one line that names the cure, before any work, and leaves the folder as it was."""

import os
import signal
import subprocess
import sys
import textwrap
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from clearing import clear_scene

from declouds.errors import UserError
from declouds.scenes.checks import check_files
from declouds.value_range import ValueRange

MODEL = dict(bands=3, in_bands=3, value_range=ValueRange(0, 255))


def never(cloudy, noise):
    raise AssertionError("work was begun")


def write(path, pixels, **profile):
    bands, height, width = pixels.shape
    profile = {"transform": Affine(10, 0, 5e5, 0, -10, 5e6), "crs": "EPSG:32618", **profile}
    with rasterio.open(
        path, "w", driver="GTiff", count=bands, height=height, width=width, dtype=pixels.dtype, **profile
    ) as file:
        file.write(pixels)
    return path


@pytest.fixture
def scene(tmp_path):
    pixels = np.random.default_rng(0).integers(1, 255, (3, 200, 150)).astype(np.uint8)
    return write(tmp_path / "scene.tif", pixels)


@pytest.fixture(autouse=True)
def folder_unchanged(tmp_path):
    """Compare the folder after the test's fault with the folder before the call."""
    remembered = {}

    def contents():
        return {path: (path.read_bytes() if path.is_file() else None) for path in tmp_path.rglob("*")}

    yield lambda: remembered.update(before=contents())
    assert contents() == remembered["before"]


def refused(remember, message, source, output, predict=never, **options):
    remember()
    with pytest.raises(UserError, match=message) as caught:
        clear_scene(predict, source, output, **{**MODEL, **options})
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_missing_input(folder_unchanged, tmp_path):
    refused(
        folder_unchanged, r"nothing\.tif: no such file: check the path", tmp_path / "nothing.tif", tmp_path / "o.tif"
    )


def test_a_folder_for_input(folder_unchanged, tmp_path):
    refused(folder_unchanged, "is a folder: give one GeoTIFF", tmp_path, tmp_path / "o.tif")


@pytest.mark.parametrize("content", [b"", b"hello\n" * 100, b"II*\0"])
def test_an_input_that_is_no_raster(folder_unchanged, tmp_path, content):
    (tmp_path / "text.tif").write_bytes(content)
    refused(
        folder_unchanged,
        r"text\.tif: cannot be read as a raster .* give a GeoTIFF",
        tmp_path / "text.tif",
        tmp_path / "o.tif",
    )


def test_a_missing_output_folder(folder_unchanged, tmp_path, scene):
    refused(folder_unchanged, "does not exist: create it first", scene, tmp_path / "no" / "o.tif")


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="no folder here that refuses files even to root")
def test_an_output_folder_that_refuses_files(folder_unchanged, scene):
    refused(folder_unchanged, "the folder /proc/self is not writable", scene, "/proc/self/o.tif")


def test_an_output_that_is_a_folder(folder_unchanged, tmp_path, scene):
    (tmp_path / "out.tif").mkdir()
    refused(folder_unchanged, "name the file in it", scene, tmp_path / "out.tif", overwrite=True)


def test_an_output_that_is_no_geotiff_by_name(folder_unchanged, tmp_path, scene):
    refused(folder_unchanged, r"let its name end in \.tif", scene, tmp_path / "o.png")


@pytest.mark.parametrize("name", ["o.tif", "o.tif.aux.xml", "o.tif.ovr", "o.tif.msk"])
def test_an_existing_output_and_what_belongs_to_one(folder_unchanged, tmp_path, scene, name):
    (tmp_path / name).write_bytes(b"mine")
    refused(folder_unchanged, r"exists already: .*--overwrite", scene, tmp_path / "o.tif")


def test_a_dangling_link_exists_too(folder_unchanged, tmp_path, scene):
    (tmp_path / "o.tif").symlink_to(tmp_path / "elsewhere.tif")
    refused(folder_unchanged, "exists already", scene, tmp_path / "o.tif")


@pytest.mark.parametrize("by", ["name", "other spelling", "symbolic link", "hard link", "part of a mosaic"])
def test_the_input_is_never_the_output(folder_unchanged, tmp_path, scene, by):
    source, output = scene, tmp_path / "link.tif"
    if by == "name":
        output = scene
    elif by == "other spelling":
        (tmp_path / "sub").mkdir()
        output = tmp_path / "sub" / ".." / scene.name
    elif by == "symbolic link":
        output.symlink_to(scene)
    elif by == "hard link":
        output.hardlink_to(scene)
    else:
        source, output = tmp_path / "mosaic.vrt", scene
        source.write_text(
            '<VRTDataset rasterXSize="150" rasterYSize="200"><VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
            '<SourceFilename relativeToVRT="1">scene.tif</SourceFilename><SourceBand>1</SourceBand>'
            "</SimpleSource></VRTRasterBand></VRTDataset>"
        )
    refused(folder_unchanged, "is the input itself, which is never overwritten", source, output, overwrite=True)


def test_too_many_bands_and_too_few(folder_unchanged, tmp_path, scene):
    message = refused(
        folder_unchanged, r"has 3 bands \(1, 2, 3\), the model takes 4", scene, tmp_path / "o.tif",
        bands=4, in_bands=4, band_names=("B2", "B3", "B4", "B8"),
    )  # fmt: skip
    assert "(B2, B3, B4, B8)" in message and "give a file that has them" in message
    refused(
        folder_unchanged,
        "the model takes 1: choose and order them with --bands",
        scene,
        tmp_path / "o.tif",
        bands=1,
        in_bands=1,
    )


@pytest.mark.parametrize(
    ("dtype", "value_range"),
    [
        ("uint16", (0, 255)), ("float32", (0, 255)), ("uint8", (0, 10000)), ("uint8", (0, 1)), ("uint16", (0, 1)),
        ("uint16", (-1000, 10000)), ("int8", (0, 255)), ("int16", (0, 65535)),
    ],
)  # fmt: skip
def test_a_type_that_the_models_units_do_not_fit(folder_unchanged, tmp_path, dtype, value_range):
    source = write(tmp_path / "i.tif", np.full((3, 20, 20), 1, dtype))
    refused(
        folder_unchanged, rf"is {dtype}, and the model was trained on .* convert the scene", source, tmp_path / "o.tif",
        value_range=ValueRange(*value_range),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("dtype", "level", "high"), [("float32", 0.9, 10000), ("uint16", 30000, 10000), ("float64", 99, 1)]
)
def test_values_in_other_units_than_the_models(folder_unchanged, tmp_path, dtype, level, high):
    pixels = (np.random.default_rng(0).uniform(0.7, 1, (3, 300, 300)) * level).astype(dtype)
    pixels[:, 50:70] = 0
    source = write(tmp_path / "i.tif", pixels, nodata=0)
    refused(
        folder_unchanged, "not in the units the model was trained on .* rescale", source, tmp_path / "o.tif",
        value_range=ValueRange(0, high),
    )  # fmt: skip


@pytest.mark.parametrize("nodata", [-9999, 256, 1.5, float("nan")])
def test_a_nodata_that_the_type_cannot_hold(folder_unchanged, tmp_path, scene, nodata):
    refused(folder_unchanged, "is uint8, which cannot hold nodata", scene, tmp_path / "o.tif", nodata=nodata)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(tile=64, overlap=64), "from 0 to 63"),
        (dict(tile=0), "at least 1 pixel"),
        (dict(batch_size=0), "at least 1 window"),
        (dict(seed=-1), "a seed is"),
    ],
)
def test_options_that_make_no_sense(folder_unchanged, tmp_path, scene, options, message):
    refused(folder_unchanged, message, scene, tmp_path / "o.tif", **options)


@pytest.mark.parametrize("kind", ["complex", "palette", "types", "nodata values"])
def test_files_that_hold_no_measured_values_of_one_type(folder_unchanged, tmp_path, kind):
    source = tmp_path / "i.tif"
    if kind == "complex":
        write(source, np.zeros((1, 9, 9), np.complex64))
    elif kind == "palette":
        write(source, np.zeros((1, 9, 9), np.uint8), photometric="palette")
        with rasterio.open(source, "r+") as file:
            file.write_colormap(1, {0: (255, 0, 0, 255)})
    else:
        types = ("Byte", "UInt16") if kind == "types" else ("Byte", "Byte")
        values = ("", "") if kind == "types" else ("<NoDataValue>0</NoDataValue>", "<NoDataValue>9</NoDataValue>")
        source.write_text(
            '<VRTDataset rasterXSize="9" rasterYSize="9">'
            + "".join(
                f'<VRTRasterBand dataType="{one}" band="{i + 1}">{two}</VRTRasterBand>'
                for i, (one, two) in enumerate(zip(types, values, strict=True))
            )
            + "</VRTDataset>"
        )
    cure = {
        "complex": "real bands",
        "palette": "expand rgb",
        "types": "convert them to one",
        "nodata values": "give it one",
    }
    refused(folder_unchanged, cure[kind], source, tmp_path / "o.tif")


@pytest.mark.parametrize("interleave", ["band", "pixel"])
def test_blocks_that_were_never_written(folder_unchanged, tmp_path, interleave):
    """What a killed writer leaves: GDAL reads zeros there without a word."""
    source = tmp_path / "i.tif"
    profile = dict(driver="GTiff", count=3, height=64, width=64, dtype="uint8", sparse_ok=True, interleave=interleave)
    with rasterio.open(source, "w", tiled=True, blockxsize=16, blockysize=16, crs="EPSG:32618",
                       transform=Affine(1, 0, 0, 0, -1, 9), **profile) as file:  # fmt: skip
        file.write(np.full((3, 32, 64), 9, np.uint8), window=rasterio.windows.Window(0, 0, 64, 32))
    refused(folder_unchanged, "lacks pixels from row 32, column 0 .* write it again", source, tmp_path / "o.tif")
    check_files(source, tmp_path / "o.tif", nodata=0)  # then the empty blocks have a meaning


@pytest.mark.parametrize("how", ["a block is garbage", "cut short"])
def test_a_damaged_file_met_on_the_way(folder_unchanged, tmp_path, how):
    pixels = np.random.default_rng(0).integers(1, 255, (3, 640, 640)).astype(np.uint8)
    source = write(
        tmp_path / "i.tif", pixels, tiled=True, blockxsize=64, blockysize=64, compress="deflate", photometric="RGB"
    )
    data = bytearray(source.read_bytes())
    with rasterio.open(source) as file:  # a block that the samples do not touch
        offset = int(file.get_tag_item("BLOCK_OFFSET_1_6", "TIFF", bidx=1))
    if how == "cut short":
        # The directory of the file lies at its start, so that the header outlives the cut.
        with rasterio.open(source) as file:
            last = int(file.get_tag_item("BLOCK_OFFSET_9_9", "TIFF", bidx=1))
        del data[last + 100 :]
    else:
        data[offset : offset + 500] = b"\xff" * 500
    source.write_bytes(data)
    calls = []

    def predict(cloudy, noise):
        calls.append(1)
        return cloudy

    refused(
        folder_unchanged, r"i\.tif: is damaged or cut short in rows .* copy or download it again", source,
        tmp_path / "o.tif", predict, tile=128, overlap=0,
    )  # fmt: skip
    assert not calls  # every window is read before the first is computed


def test_a_model_that_gives_nan(folder_unchanged, tmp_path, scene):
    calls = []

    def predict(cloudy, noise):
        calls.append(1)
        return cloudy * (float("nan") if len(calls) == 3 else 1)

    refused(
        folder_unchanged, "non-finite .* row 0, column 86: .* another checkpoint", scene, tmp_path / "o.tif", predict,
        tile=64, overlap=0,
    )  # fmt: skip


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, SystemExit])
def test_an_interrupt_leaves_nothing(folder_unchanged, tmp_path, scene, error):
    calls, seen = [], []

    def predict(cloudy, noise):
        calls.append(1)
        if len(calls) == 3:
            seen.extend(path.name for path in tmp_path.iterdir())
            raise error("stop")
        return cloudy

    folder_unchanged()
    with pytest.raises(error):
        clear_scene(predict, scene, tmp_path / "o.tif", **MODEL, tile=64, overlap=16)
    assert sorted(seen)[0].startswith(".o.tif.") and "o.tif" not in seen  # it had been begun, under another name


def test_an_interrupt_leaves_the_old_output(folder_unchanged, tmp_path, scene):
    (tmp_path / "o.tif").write_bytes(b"old")

    def predict(cloudy, noise):
        raise KeyboardInterrupt

    folder_unchanged()
    with pytest.raises(KeyboardInterrupt):
        clear_scene(predict, scene, tmp_path / "o.tif", **MODEL, overwrite=True)


def test_overwriting_takes_the_old_sidecars_away(folder_unchanged, tmp_path, scene):
    for name in ("o.tif", "o.tif.aux.xml", "o.tif.ovr", "o.tif.msk", "o.tif.txt"):
        (tmp_path / name).write_bytes(b"old")
    clear_scene(lambda cloudy, noise: cloudy, scene, tmp_path / "o.tif", **MODEL, overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["o.json", "o.tif", "o.tif.txt", "scene.tif"]
    with rasterio.open(tmp_path / "o.tif") as one, rasterio.open(scene) as other:
        np.testing.assert_array_equal(one.read(), other.read())
    folder_unchanged()


def test_an_output_that_someone_else_made_meanwhile_is_theirs(folder_unchanged, tmp_path, scene):
    def predict(cloudy, noise):
        (tmp_path / "o.tif").write_bytes(b"theirs")
        return cloudy

    with pytest.raises(UserError, match=r"has appeared since .*: move it away and repeat the command"):
        clear_scene(predict, scene, tmp_path / "o.tif", **MODEL)
    assert (tmp_path / "o.tif").read_bytes() == b"theirs"
    (tmp_path / "o.tif").unlink()
    clear_scene(never, scene, tmp_path / "o.tif", **MODEL)  # all is computed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["o.json", "o.tif", "scene.tif"]
    folder_unchanged()


def test_a_wrong_shape_from_the_model_is_a_bug_and_said_so(folder_unchanged, tmp_path, scene):
    folder_unchanged()
    with pytest.raises(ValueError, match=r"shape \(1, 1, 200, 150\) came out, not \(1, 3, 200, 150\)"):
        clear_scene(lambda cloudy, noise: torch.zeros(1, 1, 200, 150), scene, tmp_path / "o.tif", **MODEL)


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="needs a limit on file sizes")
def test_a_disk_without_room_for_intermediate_results(folder_unchanged, tmp_path, scene):
    """A limit on the size of files stands for the disk."""
    folder_unchanged()
    code = f"""
        import resource, signal, sys
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (300000, 300000))
        sys.path.insert(0, {os.path.dirname(__file__)!r})
        from clearing import clear_scene
        from declouds.errors import UserError
        from declouds.value_range import ValueRange
        try:
            clear_scene(lambda cloudy, noise: cloudy, {str(scene)!r}, {str(tmp_path / "o.tif")!r},
                        bands=3, in_bands=3, value_range=ValueRange(0, 255))
        except UserError as error:
            print("UserError", error)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=120)
    assert "UserError" in done.stdout and "If the disk is full, make room" in done.stdout, done.stderr


def test_a_disk_that_is_full_at_the_end_loses_nothing(folder_unchanged, tmp_path, scene, monkeypatch):
    def other_pixels(self):
        raise OSError("other pixels than were written")

    with monkeypatch.context() as patch:
        patch.setattr("declouds.scenes.rasters.writer.SceneWriter._read_back", other_pixels)
        with pytest.raises(UserError, match=r"cannot be written .other pixels.* is the disk full"):
            clear_scene(lambda cloudy, noise: -cloudy, scene, tmp_path / "o.tif", **MODEL)
    assert not (tmp_path / "o.tif").exists()
    clear_scene(never, scene, tmp_path / "o.tif", **MODEL)
    with rasterio.open(tmp_path / "o.tif") as one, rasterio.open(scene) as other:
        np.testing.assert_array_equal(one.read(), 255 - other.read())
    folder_unchanged()


def test_a_disk_that_is_too_small(folder_unchanged, tmp_path, scene, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=300_000))
    refused(folder_unchanged, "0.00045 GB are needed .* 0.0003 GB are free: make room", scene, tmp_path / "o.tif")
