"""The folders of Landsat products."""

import json

import numpy as np
import pytest
import rasterio
from affine import Affine

from declouds.errors import UserError
from declouds.scenes.inputs import find_scenes
from declouds.scenes.rasters.product_mask import product_mask
from declouds.scenes.rasters.scene import scene_for
from declouds.scenes.rasters.scene_file import open_scene
from declouds.value_range import ValueRange

PRODUCT = "LE07_L2SP_193027_20100506_20200907_02_T1"


@pytest.fixture
def product(tmp_path):
    """A product of level 2 with a band of temperature; band N holds 10000 + N."""
    folder = tmp_path / "in" / "anything"
    folder.mkdir(parents=True)
    names = {"SR_B1": 1, "SR_B2": 2, "SR_B10": 10, "ST_B6": 6, "QA_PIXEL": 11824, "SR_CLOUD_QA": 0}
    for name, level in names.items():
        profile = dict(driver="GTiff", count=1, height=6, width=8, dtype="uint16", crs="EPSG:32633")
        path = folder / f"{PRODUCT}_{name}.TIF"
        with rasterio.open(path, "w", **profile, transform=Affine(30, 0, 499980, 0, -30, 5100000)) as file:
            file.write(np.full((1, 6, 8), 10000 + level, np.uint16))
    (folder / f"{PRODUCT}_MTL.txt").touch()
    return folder


def test_bands_of_a_product_are_one_dataset(product):
    with open_scene(product, ["SR_B2", "b1", "B10"]) as scene:
        assert scene.descriptions == ("SR_B2", "B1", "B10")
        assert scene.read()[:, 0, 0].tolist() == [10002, 10001, 10010]
        assert scene.scales == (2.75e-5,) * 3 and scene.offsets == (-0.2,) * 3 and scene.nodata == 0
        kind, path = product_mask(product, scene)
        assert (kind, path.name) == ("qa_pixel", f"{PRODUCT}_QA_PIXEL.TIF")
    with open_scene(product, ["ST_B6"]) as scene:
        assert (scene.scales, scene.offsets, scene.nodata) == ((1,), (0,), 0)


def test_an_item_that_gives_no_scale_has_the_units_of_the_product(product):
    pytest.importorskip("pystac")
    assets = {name: dict(href=f"{PRODUCT}_{band}.TIF") for name, band in (("red", "SR_B2"), ("lwir", "ST_B6"))}
    assets["own"] = assets["red"] | {"raster:bands": [dict(scale=1e-4, offset=0)]}
    item = dict(
        type="Feature", stac_version="1.0.0", id="x", properties=dict(datetime="2010-05-06T00:00:00Z"), links=[]
    )
    (product / "item.json").write_text(json.dumps(item | dict(assets=assets, geometry=None)))
    with open_scene(product / "item.json", ["red", "lwir", "own"]) as scene:
        assert (scene.scales, scene.offsets, scene.nodata) == ((2.75e-5, 1, 1e-4), (-0.2, 0, 0), 0)


def test_a_product_is_one_scene(product, tmp_path):
    assert find_scenes([str(product)], tmp_path / "o.tif") == [(product, tmp_path / "o.tif")]
    assert find_scenes([str(product.parent)], tmp_path) == [(product, tmp_path / "anything.tif")]
    first = product / f"{PRODUCT}_SR_B1.TIF"
    other = product / first.name.replace("193027", "193028")
    other.write_bytes(first.read_bytes())
    assert len(find_scenes([str(product)], tmp_path)) == 6  # files of two products: each is a scene, as in any folder


@pytest.mark.parametrize(
    ("bands", "message"),
    [
        (None, r"choose bands of it, such as --bands SR_B1,SR_B2,ST_B6; it has SR_B1, SR_B2, ST_B6, SR_B10$"),
        (["SR_B4"], r"anything: 'SR_B4' is not one of its bands: choose among SR_B1, SR_B2, ST_B6, SR_B10$"),
        (["QA_PIXEL"], "is not one of its bands"),
    ],
)
def test_bands_that_a_product_does_not_have(product, bands, message):
    with pytest.raises(UserError, match=message), open_scene(product, bands):
        pass


def test_a_real_product(shared):
    name = "LC08_L2SP_005009_20150710_20200908_02_T2"
    folder = shared / "data" / "products" / name
    if not folder.is_dir():
        pytest.skip("no real product")
    with scene_for(folder, ValueRange(0, 1), 3, 3, asked=["B4", "B3", "B2"]) as scene:
        assert (scene.stored_range.low, scene.stored_range.high) == pytest.approx((7272.7, 43636.4), abs=0.1)
        assert product_mask(folder, scene.file)[1].name == f"{name}_QA_PIXEL.TIF"
