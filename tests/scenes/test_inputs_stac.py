"""STAC items with files beside them."""

import json

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.enums import ColorInterp

from declouds.errors import UserError
from declouds.scenes.checks import check_files
from declouds.scenes.rasters.bands import choose_bands
from declouds.scenes.rasters.scene_file import open_scene, read_window, source_files
from declouds.scenes.sampling.tiles import Window

PLACE = Affine(10, 0, 499980, 0, -10, 5100000)


@pytest.fixture(autouse=True)
def needs_pystac(request):
    if "without_pystac" not in request.node.name:
        pytest.importorskip("pystac")


def raster(path, level, count=1, mask=None, **profile):
    path.parent.mkdir(exist_ok=True)
    profile = dict(dict(dtype="uint16", crs="EPSG:32633", transform=PLACE, height=30, width=40), **profile)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "w", "GTiff", count=count, **profile) as file:
        for band in range(count):
            file.write(np.full((file.height, file.width), level + band, file.dtypes[0]), band + 1)
        if mask is not None:
            file.write_mask(mask)
    return path


@pytest.fixture
def write(tmp_path):
    """Give a writer of items, whose assets are dicts, or only the addresses."""

    def write(assets, version="1.0.0", **properties):
        assets = {key: asset if isinstance(asset, dict) else {"href": asset} for key, asset in assets.items()}
        item = dict(
            type="Feature", stac_version=version, id="x", geometry=None, links=[], assets=assets,
            properties={"datetime": "2024-05-06T10:00:00Z", **properties},
        )  # fmt: skip
        (tmp_path / "it em").mkdir(exist_ok=True)
        path = tmp_path / "it em" / "item & more.json"
        path.write_text(json.dumps(item))
        return path

    return write


def test_assets_by_name_relative_to_the_item(write, tmp_path, monkeypatch):
    red = raster(tmp_path / "it em" / "r <&> 'e' d.tif", 10)
    nir = raster(tmp_path / "far" / "nir.tif", 30)
    item = write(
        {"red": "./r <&> 'e' d.tif", "nir": "../far/nir.tif", "abs": str(nir), "uri": nir.as_uri(), "x": "x.tif"}
    )
    monkeypatch.chdir(tmp_path)
    with open_scene(item.relative_to(tmp_path), ["NIR", "red", "abs", "uri"]) as scene:
        assert scene.descriptions == ("nir", "red", "abs", "uri")
        assert scene.read()[:, 7, 9].tolist() == [30, 10, 30, 30]
        assert (scene.crs.to_epsg(), scene.transform, scene.shape) == (32633, PLACE, (30, 40))
        assert (scene.nodata, scene.scales, scene.offsets) == (None, (1,) * 4, (0,) * 4)
        assert choose_bands(scene, ["NIR", "red", "abs", "uri"], (), 4, item) == [1, 2, 3, 4]
        assert {path.samefile(red) or path.samefile(nir) for path in source_files(scene)} == {True}


@pytest.mark.parametrize("version", ["1.0.0", "1.1.0"])
def test_units_of_the_item_come_before_those_of_the_file(write, tmp_path, version):
    file = raster(tmp_path / "it em" / "a.tif", 10, nodata=7)
    with rasterio.open(file, "r+") as opened:
        opened.scales, opened.offsets = (0.5,), (3,)
    if version == "1.0.0":
        told = {"raster:bands": [{"scale": 1e-4, "offset": -0.1, "nodata": 0}]}
    else:
        told = {"bands": [{"name": "B04", "raster:scale": 1e-4}], "raster:offset": -0.1, "nodata": 0}
    item = write({"told": {"href": "a.tif", **told}, "untold": "a.tif"}, version)
    with open_scene(item, ["told"]) as scene:
        assert (scene.scales, scene.offsets, scene.nodata) == ((1e-4,), (-0.1,), 0)
    with open_scene(item, ["untold"]) as scene:
        assert (scene.scales, scene.offsets, scene.nodata) == ((0.5,), (3,), 7)


def test_nodata_that_is_no_number(write, tmp_path):
    raster(tmp_path / "it em" / "a.tif", 10, dtype="float32")
    with open_scene(write({"a": {"href": "a.tif", "raster:bands": [{"nodata": "nan"}]}}), ["a"]) as scene:
        assert np.isnan(scene.nodata) and scene.dtypes == ("float32",)


def test_an_offset_that_is_in_the_values_already(write, tmp_path, caplog):
    raster(tmp_path / "it em" / "a.tif", 10)
    told = {"href": "a.tif", "raster:bands": [{"scale": 1e-4, "offset": -0.1}]}
    for applied, offset in ((True, 0), (False, -0.1)):
        for _ in range(2):  # said once for all bands, however often the scene is opened
            item = write({"red": told, "nir": told}, **{"earthsearch:boa_offset_applied": applied})
            with open_scene(item, ["red", "nir"]) as scene:
                assert (scene.scales, scene.offsets) == ((1e-4,) * 2, (offset,) * 2)
    assert [record.message.split(": ", 1)[1] for record in caplog.records] == [
        "says that the offset -0.1 of red, nir is in its stored values already: taken as 0"
    ]


def test_a_band_of_an_asset_that_has_several(write, tmp_path):
    raster(tmp_path / "it em" / "rgb.tif", 10, count=3)
    bands = {"raster:bands": [{"scale": 1}, {"scale": 2}, {"scale": 3}]}
    item = write({"visual": {"href": "rgb.tif", **bands}, "eo:x": "rgb.tif"})
    with open_scene(item, ["visual:3", "visual:1", "eo:x:2"]) as scene:
        assert scene.descriptions == ("visual:3", "visual:1", "eo:x:2")
        assert scene.read()[:, 0, 0].tolist() == [12, 10, 11] and scene.scales == (3, 1, 1)
        assert choose_bands(scene, ["visual:3", "visual:1", "eo:x:2"], (), 3, item) == [1, 2, 3]
    for bands, message in (
        (["visual"], r"rgb\.tif: visual holds 3 bands: choose among visual:1, visual:2, visual:3$"),
        (["visual:4"], r"rgb\.tif: has 3 bands, and no band 4"),
        (["visual:0"], "'visual:0' is not one of its assets"),
        (["other:1"], "'other:1' is not one of its assets"),
    ):
        with pytest.raises(UserError, match=message), open_scene(item, bands):
            pass


def test_masks_of_the_files_are_joined(write, tmp_path):
    one, two = np.full((2, 30, 40), 255, np.uint8)
    one[:5], two[:, :6] = 0, 0
    raster(tmp_path / "it em" / "a.tif", 10, mask=one)
    raster(tmp_path / "it em" / "b.tif", 20, mask=two)
    raster(tmp_path / "it em" / "c.tif", 30)
    item = write({"a": "a.tif", "b": "b.tif", "c": "c.tif"})
    with open_scene(item, ["c", "b"]) as scene:
        np.testing.assert_array_equal(read_window(scene, Window(0, 0, 30, 40), [1])[1], two[None])
    with open_scene(item, ["c", "b", "a"]) as scene:
        values, masks = read_window(scene, Window(3, 2, 10, 10), [1, 2, 3])
        np.testing.assert_array_equal((masks != 0).all(0), ((one != 0) & (two != 0))[3:13, 2:12])
        assert (values == np.array([30, 20, 10])[:, None, None]).all()
        assert np.unique(scene.dataset_mask()).tolist() == [0, 255]


@pytest.mark.parametrize(
    ("profile", "message"),
    [
        (dict(height=31), r"b\.tif: differs from .*a\.tif in its size \(\(40, 31\), not \(40, 30\)\)"),
        (dict(dtype="int16"), r"in its type \(int16, not uint16\): choose bands of one grid and type, or warp"),
        (dict(crs="EPSG:32634"), r"in its CRS \(EPSG:32634, not EPSG:32633\)"),
        (dict(crs=None), r"in its CRS \(None, not EPSG:32633\)"),
        (dict(transform=Affine(10, 0, 499985, 0, -10, 5100000)), r"in its place \(\(10\.0, .* not \("),
        (dict(transform=Affine(10.01, 0, 499980, 0, -10.01, 5100000)), r"in its place"),
    ],
)
def test_files_that_do_not_lie_on_each_other(write, tmp_path, profile, message):
    raster(tmp_path / "it em" / "a.tif", 10)
    raster(tmp_path / "it em" / "b.tif", 20, **profile)
    with pytest.raises(UserError, match=message), open_scene(write({"a": "a.tif", "b": "b.tif"}), ["a", "b"]):
        pass


def test_a_rounded_place_is_the_same_place(write, tmp_path):
    raster(tmp_path / "it em" / "a.tif", 10)
    raster(tmp_path / "it em" / "b.tif", 20, transform=Affine(10, 0, 499980 + 1e-6, 0, -10, 5100000))
    with open_scene(write({"a": "a.tif", "b": "b.tif"}), ["a", "b"]) as scene:
        assert scene.transform == PLACE


@pytest.mark.parametrize("crs", ["EPSG:4326", None, "+proj=laea +lat_0=52 +lon_0=10 +ellps=GRS80 +units=m"])
def test_any_grid(write, tmp_path, crs):
    turned = Affine(8.66e-4, 5.123456789e-4, 10.1234567890123, 5e-4, -8.66e-4, 52.9876543210987)
    raster(tmp_path / "it em" / "a.tif", 10, crs=crs, transform=turned)
    with rasterio.open(tmp_path / "it em" / "a.tif") as one, open_scene(write({"a": "a.tif"}), ["a"]) as scene:
        assert (scene.crs, scene.transform) == (one.crs, one.transform)


@pytest.mark.parametrize(
    "dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "int64", "float32", "float64"]
)
def test_any_type(write, tmp_path, dtype):
    raster(tmp_path / "it em" / "a.tif", 10, dtype=dtype)
    with open_scene(write({"a": "a.tif"}), ["a"]) as scene:
        assert scene.dtypes == (dtype,) and scene.read(1)[0, 0] == 10


@pytest.mark.parametrize(
    ("href", "message"),
    [
        ("https://host/a.tif?token=x", r"^https://host/a\.tif\?\.\.\.: is on the web, and \$DECLOUDS_OFFLINE forbids"),
        ("s3://bucket/a.tif", r"^s3://bucket/a\.tif: is on the web"),
        ("/vsicurl/https://host/a.tif", r"^https://host/a\.tif: is on the web"),
        ("ftp://host/a.tif", r"the asset a has an address that cannot be read \(ftp://host/a\.tif\): download it"),
        ("none.tif", r"none\.tif: no such file, and a should be there"),
        ("item & more.json", r"item & more\.json: cannot be read as a raster, and a should be there"),
    ],
)
def test_an_asset_that_is_not_there(write, tmp_path, monkeypatch, href, message):
    monkeypatch.setenv("DECLOUDS_OFFLINE", "1")
    with pytest.raises(UserError, match=message), open_scene(write({"a": href}), ["a"]):
        pass


def test_assets_have_to_be_chosen(write):
    item = write({"red": "r.tif", "nir": "n.tif"})
    for bands, message in (
        (None, r"choose assets .* it has red, nir$"),
        (["blue"], "'blue' is not one of its assets: .* red, nir$"),
    ):
        with pytest.raises(UserError, match=message), open_scene(item, bands):
            pass


def test_a_scale_that_is_no_number(write, tmp_path):
    raster(tmp_path / "it em" / "a.tif", 10)
    item = write({"a": {"href": "a.tif", "raster:bands": [{"scale": "much"}]}})
    with (
        pytest.raises(UserError, match="scale, offset or nodata of the asset a is not a number"),
        open_scene(item, ["a"]),
    ):
        pass


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "null", "3", '"x"', "{}", '{"type": "FeatureCollection", "features": []}'),
        '{"type": "Feature", "geometry": null, "properties": {}}',
        '{"type": "Feature", "stac_version": "1.0.0", "id": "x", "geometry": null, "properties": {}, "links": []}',
        '{"type": "Collection", "stac_version": "1.0.0", "id": "x", "description": "", "links": [], "license": "x"}',
    ],
)
def test_what_is_no_item(tmp_path, text):
    path = tmp_path / "x.json"
    path.write_text(text)
    with (
        pytest.raises(UserError, match=r"x\.json: cannot be read as a STAC item \(") as caught,
        open_scene(path, ["a"]),
    ):
        pass
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match=r"none\.json: no such file"), open_scene(tmp_path / "none.json", ["a"]):
        pass


def test_without_pystac_the_cure_is_told(write, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pystac", None)
    with pytest.raises(UserError, match=r'pip install "declouds\[stac\]"'), open_scene(write({"a": "a.tif"}), ["a"]):
        pass


def test_no_asset_is_overwritten(write, tmp_path):
    file = raster(tmp_path / "it em" / "a.tif", 10)
    item = write({"a": "a.tif"})
    with pytest.raises(UserError, match="is the input itself"):
        check_files(item, file, overwrite=True, bands=["a"])
    check_files(item, tmp_path / "o.tif", bands=["a"])


def test_transparency_of_a_file_is_a_mask(write, tmp_path):
    file = raster(tmp_path / "it em" / "a.tif", 9, count=2, dtype="uint8", height=4, width=4)
    with rasterio.open(file, "r+") as opened:
        opened.colorinterp = (ColorInterp.gray, ColorInterp.alpha)
        opened.write(np.array([[0, 1, 255, 255]] * 4, np.uint8), 2)
    with open_scene(write({"a": "a.tif"}), ["a:1"]) as scene:
        _, masks = read_window(scene, Window(0, 0, 4, 4), [1])
        assert (masks != 0).all(0)[0].tolist() == [False, True, True, True]
