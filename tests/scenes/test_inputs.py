from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from scipy.io import netcdf_file

from declouds.errors import UserError
from declouds.scenes.inputs import find_scenes
from declouds.scenes.rasters.scene_file import open_scene, source_files

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def write_picture(path, placed=False):
    place = dict(crs="EPSG:32633", transform=Affine(10, 0, 5e5, 0, -10, 5e6)) if placed else {}
    driver = "JPEG" if path.suffix.lower() == ".jpg" else "PNG"
    with rasterio.open(path, "w", driver=driver, count=3, height=9, width=8, dtype="uint8", **place) as file:
        file.write(np.full((3, 9, 8), 5, np.uint8))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in (
        *(
            "in/b.tif",
            "in/a.TIFF",
            "in/c.vrt",
            "in/d.jp2",
            "in/a_quality.tif",
            "in/b_SCL.tif",
            "in/.b.tif.12.partial.tif",
            "in/notes.txt",
        ),
        *("in/item.json", "in/sub/e.tif", "in/S2A_X.SAFE/MTD_MSIL2A.xml", "in/plain/MTD_MSIL1C.xml", "other/b.tif"),
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "out").mkdir()
    return tmp_path


def scenes(*inputs, output="out"):
    return [(str(source), str(destination)) for source, destination in find_scenes(inputs, Path(output))]


def test_one_scene_goes_to_the_file_or_into_the_folder(folder):
    assert scenes("in/b.tif", output="clear.tif") == [("in/b.tif", "clear.tif")]
    assert scenes("in/b.tif", output="no/such/clear.tif") == [("in/b.tif", "no/such/clear.tif")]
    assert scenes("in/a.TIFF") == [("in/a.TIFF", "out/a.tif")]
    assert scenes("in/item.json") == [("in/item.json", "out/item.tif")]
    assert scenes("in/S2A_X.SAFE/", output="s2.tif") == [("in/S2A_X.SAFE", "s2.tif")]
    assert scenes("in/plain", output="s2.tif") == [("in/plain", "s2.tif")]  # a product whose folder was renamed


def test_a_folder_holds_rasters_and_products_and_nothing_else(folder):
    expected = [
        ("in/S2A_X.SAFE", "out/S2A_X.tif"), ("in/a.TIFF", "out/a.tif"), ("in/b.tif", "out/b.tif"),
        ("in/c.vrt", "out/c.tif"), ("in/d.jp2", "out/d.tif"), ("in/plain", "out/plain.tif"),
    ]  # fmt: skip
    assert scenes("in") == expected
    assert scenes("in", output="new") == [(source, target.replace("out", "new")) for source, target in expected]


def test_a_pattern_that_the_shell_left_alone(folder):
    assert scenes("in/?.tif*") == [("in/b.tif", "out/b.tif")]
    assert scenes("in/*.tif") == [("in/b.tif", "out/b.tif")]  # not a_quality.tif, not hidden work
    assert scenes("in/[ac].*") == [("in/a.TIFF", "out/a.tif"), ("in/c.vrt", "out/c.tif")]
    assert scenes("**/e.tif") == [("in/sub/e.tif", "out/e.tif")]
    assert scenes("in/*.SAFE") == [("in/S2A_X.SAFE", "out/S2A_X.tif")]


def test_a_file_is_itself_though_its_name_looks_like_a_pattern(folder):
    (folder / "in" / "x[1].tif").touch()
    (folder / "in" / "x1.tif").touch()
    assert scenes("in/x[1].tif", output="o.tif") == [("in/x[1].tif", "o.tif")]
    assert scenes("in/x[1]*.tif") == [("in/x1.tif", "out/x1.tif")]


def test_several_inputs_keep_their_order_and_come_once(folder):
    assert scenes("in/d.jp2", "in/b.tif", "./in/d.jp2", "in/[bc].*") == [
        ("in/d.jp2", "out/d.tif"), ("in/b.tif", "out/b.tif"), ("in/c.vrt", "out/c.tif"),
    ]  # fmt: skip


def test_a_folder_of_pictures_becomes_one_of_pictures(folder):
    (folder / "pictures").mkdir()
    for name in ("0.png", "1.JPG", "placed.png"):
        write_picture(folder / "pictures" / name, placed=name == "placed.png")
    assert scenes("pictures") == [
        ("pictures/0.png", "out/0.png"), ("pictures/1.JPG", "out/1.png"), ("pictures/placed.png", "out/placed.tif"),
    ]  # fmt: skip
    assert scenes("pictures/0.png", output="clear.png") == [("pictures/0.png", "clear.png")]
    write_picture(folder / "in" / "quicklook.png")
    assert "in/quicklook.png" not in dict(scenes("in"))


def test_a_sub_dataset_is_a_scene(folder):
    with netcdf_file(folder / "a.nc", "w") as file:
        for name, size in (("z", 2), ("y", 20), ("x", 30)):
            file.createDimension(name, size)
        for name in ("red", "nir"):
            file.createVariable(name, "i2", ("z", "y", "x"))[:] = 7
    name = f'NETCDF:"{folder / "a.nc"}":red'
    assert scenes(name) == [(name, "out/a_red.tif")]
    with open_scene(Path(name)) as scene:
        assert (scene.count, scene.shape) == (2, (20, 30)) and source_files(scene) == {folder / "a.nc"}
    with pytest.raises(UserError, match=r"sub-datasets: .*red; .*nir"), open_scene(folder / "a.nc"):
        pass
    with pytest.raises(UserError, match="no such file"):
        scenes(f'NETCDF:"{folder / "b.nc"}":red')


def test_a_quality_file_can_be_named(folder):
    assert scenes("in/a_quality.tif", output="o.tif") == [("in/a_quality.tif", "o.tif")]


@pytest.mark.parametrize(
    ("inputs", "output", "message"),
    [
        ([], "out", "no input is given"),
        (["in/none.tif"], "out", r"in/none\.tif: no such file: check the path"),
        (["in/b.tif", "in/none.tif"], "out", r"in/none\.tif: no such file"),
        (["in/*.png"], "out", r"in/\*\.png: no scene has a name of that pattern"),
        (["in/*_quality.tif"], "out", "no scene has a name of that pattern"),
        (["out"], "out", r"out: holds no scene \(\.tif, \.tiff, \.vrt, \.jp2, \.SAFE\)"),
        (["in"], "clear.tif", r"clear\.tif: in can be several scenes: give a folder"),
        (["in/*.tif"], "in/b.tif", r"in/b\.tif: in/\*\.tif can be several scenes: give a folder"),
        (["in/b.tif", "in/c.vrt"], "clear.TIF", "can be several scenes: give a folder"),
        (
            ["in/b.tif", "other/b.tif"],
            "out",
            r"in/b\.tif and other/b\.tif would both go to out/b\.tif: clear them apart",
        ),
        (["ftp://host/a.tif"], "out", r"ftp://host/a\.tif: files are read from addresses that begin with http://"),
        (["/vsizip/https://host/a.zip/a.tif"], "out", "files are read from addresses that begin with"),
        (["s3://bucket/*.tif"], "out", "a pattern finds files on this machine alone"),
    ],
)
def test_inputs_that_cannot_be_meant(folder, inputs, output, message):
    before = sorted(folder.rglob("*"))
    with pytest.raises(UserError, match=message):
        find_scenes(inputs, Path(output))
    assert sorted(folder.rglob("*")) == before
