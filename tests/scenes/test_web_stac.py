"""STAC items on the web, and items on this machine whose assets are there."""

import json
import shutil

import pytest
import rasterio
from stac_api import COLLECTION, add_date, scene_of, serve_api
from web_server import FAST, serving

from declouds.errors import UserError
from declouds.scenes.inputs import find_scenes
from declouds.scenes.rasters import web_json
from declouds.scenes.rasters.product_bands import colour_bands
from declouds.scenes.rasters.product_mask import product_mask
from declouds.scenes.rasters.scene_file import open_scene
from declouds.scenes.rasters.stac import is_stac
from declouds.scenes.rasters.web_path import located

pytest.importorskip("pystac")
DAY = "2024-06-01"
RGB = ["red", "green", "blue"]


@pytest.fixture
def server(tmp_path, monkeypatch):
    for name, value in FAST.items():
        monkeypatch.setenv(name, value)
    web_json._text.cache_clear()
    (tmp_path / "web").mkdir()
    with serving(tmp_path / "web") as server:
        yield server


def test_an_item_of_an_api(server, tmp_path):
    api = serve_api(server, [add_date(server.root, DAY, 0.0)])
    path = located(f"{api}/collections/{COLLECTION}/items/33TWM_{DAY}?token=1")
    assert is_stac(path) and not is_stac(tmp_path / "items" / "a")
    assert find_scenes([path.address], tmp_path)[0][1] == tmp_path / f"33TWM_{DAY}.tif"
    assert colour_bands(path) == RGB  # though the asset of red is called B04
    with open_scene(path, ["red", "green", "blue"]) as scene:
        assert scene.descriptions == tuple(RGB) and scene.scales[0] == 1e-4 and scene.nodata == 0
        assert (scene.read(window=((500, 520), (0, 30))) == scene_of(DAY)[:, 500:520, :30]).all()
        kind, mask = product_mask(path, scene)
    assert kind == "scl" and mask == located(f"{server.url}/33TWM_{DAY}/SCL.tif?sig=SECRET")
    assert sum(asked.endswith(f"{DAY}?token=1") for _, asked in server.asked) == 1  # the item is read once
    assert not any(asked.endswith(("/", ".aux.xml", ".ovr", ".msk")) for _, asked in server.asked)


def test_addresses_in_an_item_are_relative_to_its_own(server, tmp_path):
    item = add_date(server.root, DAY, 0.0)
    item["assets"]["green"]["href"] = "green.tif"
    item["assets"]["blue"]["href"] = "../" + f"33TWM_{DAY}/blue.tif"
    server.page(f"/33TWM_{DAY}/item.json", item)
    path = located(f"{server.url}/33TWM_{DAY}/item.json?sig=SECRET")
    with open_scene(path, RGB) as scene:
        assert (scene.read(window=((0, 9), (0, 9))) == scene_of(DAY)[:, :9, :9]).all()
    for href in ("file:///etc/passwd", "ftp://host/a.tif"):  # an item on the web names no file of this machine
        item["assets"]["green"]["href"] = href
        server.page("/other.json", item)
        web_json._text.cache_clear()
        with pytest.raises(UserError, match="the asset green has an address that cannot be read"):
            with open_scene(located(f"{server.url}/other.json"), ["green"]):
                pass


def test_an_item_here_reads_assets_there_unless_they_were_downloaded(server, tmp_path):
    item = add_date(server.root, DAY, 0.0)
    item["assets"] = {
        name: item["assets"][key] | {"href": f"{server.url}/33TWM_{DAY}/{name}.tif?sig=SECRET"}
        for name, key in (("red", "B04"), ("green", "green"))
    }
    (tmp_path / "item.json").write_text(json.dumps(item))
    shutil.copy(server.root / f"33TWM_{DAY}" / "blue.tif", tmp_path / "green.tif")
    with open_scene(tmp_path / "item.json", ["red", "green"]) as scene:
        assert (scene.read(window=((0, 9), (0, 9))) == scene_of(DAY)[[0, 2], :9, :9]).all()
    assert set(server.sent) == {f"/33TWM_{DAY}/red.tif"}
    (tmp_path / "green.tif").unlink()
    server.fail(f"/33TWM_{DAY}/green.tif", 403)
    with pytest.raises(UserError, match=r"green\.tif\?\.\.\.: its server refuses access") as found:
        with open_scene(tmp_path / "item.json", ["red", "green"]):
            pass
    assert "SECRET" not in str(found.value)


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (404, r"item\.json\?\.\.\.: is not there .HTTP 404."),
        (403, "its server refuses access"),
        (503, "its server fails .HTTP 503."),
        ("login", "a web page came in place of a STAC item: check the address, and give credentials"),
        ("cut", "cannot be read as a STAC item|IncompleteRead"),
        ("drop", "no server answers there"),
        ("slow", "its server does not answer in time"),
    ],
)
def test_items_that_cannot_be_read(server, monkeypatch, failure, message):
    server.page("/item.json", {"no": "item"})
    if failure == "cut":
        shutil.copy(__file__, server.root / "cut.json")
    name = "cut" if failure == "cut" else "item"
    server.fail(f"/{name}.json", failure)
    if failure == "slow":
        monkeypatch.setenv("GDAL_HTTP_CONNECTTIMEOUT", "0.2")
    with (
        pytest.raises(UserError, match=message) as found,
        open_scene(located(f"{server.url}/{name}.json?sig=SECRET"), RGB),
    ):
        pass
    assert "SECRET" not in str(found.value) and "\n" not in str(found.value)


def test_an_item_is_asked_for_again_and_has_to_be_one(server, monkeypatch):
    server.page("/item.json", {"no": "item"})
    server.fail("/item.json", 503, "drop", None)
    with (
        pytest.raises(UserError, match="cannot be read as a STAC item"),
        open_scene(located(f"{server.url}/item.json"), RGB),
    ):
        pass
    assert len(server.asked) == 3
    monkeypatch.setattr(web_json, "LARGEST", 4)
    web_json._text.cache_clear()
    with pytest.raises(UserError, match="is larger than"), open_scene(located(f"{server.url}/item.json"), RGB):
        pass
    with (
        pytest.raises(UserError, match="a STAC item is read by http or https"),
        open_scene(located("s3://b/a.json"), RGB),
    ):
        pass
    monkeypatch.setenv("DECLOUDS_OFFLINE", "1")
    with (
        pytest.raises(UserError, match="DECLOUDS_OFFLINE forbids"),
        open_scene(located(f"{server.url}/item.json"), RGB),
    ):
        pass


def test_a_real_product(shared, tmp_path, monkeypatch):
    folder = shared / "data" / "products" / "S2A_29RKH_20200219_0_L2A"
    if not folder.is_dir():
        pytest.skip("no Sentinel-2 item")
    for name, value in FAST.items():
        monkeypatch.setenv(name, value)
    item = json.loads((folder / f"{folder.name}.json").read_text())
    with serving(folder) as server:
        for asset in item["assets"].values():
            asset["href"] = asset["href"].rpartition("/")[2]
        server.page("/item.json", item)
        with open_scene(located(f"{server.url}/item.json"), ["red", "green"]) as there:
            values = there.read(window=((100, 200), (100, 200)))
        with rasterio.open(folder / "B03.tif") as here:
            assert (values[1] == here.read(1, window=((100, 200), (100, 200)))).all()
        assert server.sent["/B03.tif"] < 0.5 * (folder / "B03.tif").stat().st_size
