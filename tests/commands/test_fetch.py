"""Dates of one place from a STAC API: chosen, cropped, complete or not there, and cleared by the command it prints."""

import datetime
import shlex

import numpy as np
import pytest
import rasterio
from stac_api import BOX, COLLECTION, fill, scene_of, serve_api
from web_server import FAST, serving

from declouds.cli import main
from declouds.scenes.rasters import web_json

pytest.importorskip("pystac_client")
ORDER = ["2024-06-01", "2024-06-25", "2024-07-01"]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("web")
    return root, fill(root)


@pytest.fixture
def server(root, tmp_path, monkeypatch):
    for name, value in FAST.items():
        monkeypatch.setenv(name, value)
    web_json._text.cache_clear()
    monkeypatch.chdir(tmp_path)
    with serving(root[0]) as server:
        yield server


@pytest.fixture
def api(server, root):
    return serve_api(server, root[1])


def fetch(
    api, *more, collection=COLLECTION, days="2024-06-01/2024-07-31", box=BOX, bands="red,green,blue", output="box"
):
    box = box if isinstance(box, str) else ",".join(map(str, box))
    flags = ["--stac", api, "--collection", collection, "--bbox", box, "--datetime", days, "--bands", bands]
    main(["fetch", *flags, "-o", output, *more])


def refused(capsys, *args, **choices):
    with pytest.raises(SystemExit) as found:
        fetch(*args, **choices)
    assert found.value.code == 2
    text = capsys.readouterr().err
    assert text.count("\n") == 1 and "SECRET" not in text
    return text


def test_dates_are_fetched_and_cleared_by_the_command_that_is_printed(api, server, tmp_path, capsys):
    fetch(api, "--dry-run")
    shown = capsys.readouterr().out
    assert "6 files of" in shown and "nothing was fetched" in shown and not (tmp_path / "box").exists()
    fetch(api)
    shown = capsys.readouterr().out
    assert "2024-07-01 33TWM_2024-07-01: 40 % cloud, to be cleared" in shown
    files = [f"{day}{end}.tif" for day in ORDER for end in ("", "_SCL")]
    assert sorted(path.name for path in (tmp_path / "box").iterdir()) == sorted(files)
    with rasterio.open("box/2024-06-25.tif") as date, rasterio.open("box/2024-06-25_SCL.tif") as mask:
        assert (date.descriptions, date.scales, date.offsets) == (("red", "green", "blue"), (1e-4,) * 3, (-0.1,) * 3)
        assert date.shape == mask.shape and date.transform == mask.transform and date.nodata == 0
        row, col = round((5100000 - date.transform.f) / 10), round((date.transform.c - 499980) / 10)
        expected = scene_of("2024-06-25")[:, row : row + date.height, col : col + date.width]
        assert (date.read() == expected).all()
        west, south, east, north = rasterio.warp.transform_bounds(date.crs, "EPSG:4326", *date.bounds)
        assert west <= BOX[0] and south <= BOX[1] and east >= BOX[2] and north >= BOX[3]
        assert "SECRET" not in str(date.tags())
    size = (server.root / "33TWM_2024-06-25" / "green.tif").stat().st_size
    assert server.sent["/33TWM_2024-06-25/green.tif"] < 0.4 * size  # the blocks that the box touches
    (command,) = (line.removeprefix("next: ") for line in shown.splitlines() if line.startswith("next: "))
    assert command == "declouds predict box --target 2024-07-01 -o box_2024-07-01_clear.tif"
    main([*shlex.split(command)[1:], "--colour", "keep"])
    assert "cloud: box/2024-07-01_SCL.tif (Sentinel-2's scene classification" in capsys.readouterr().out
    with rasterio.open("box_2024-07-01_clear.tif") as clear:
        cleared = clear.read().astype(float)
    assert np.abs(cleared - expected).max() < 60 and (cleared < 4000).all()  # the clouds were 9000


def test_complete_files_are_kept_and_others_are_not_replaced(api, server, tmp_path, capsys):
    server.fail("/33TWM_2024-06-25/blue.tif", 403)
    assert "its server refuses access (HTTP 403)" in refused(capsys, api)
    kept = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "box").iterdir()}
    assert sorted(kept) == [
        "2024-06-01.tif",
        "2024-06-01_SCL.tif",
        "2024-06-25_SCL.tif",
        "2024-07-01.tif",
        "2024-07-01_SCL.tif",
    ]
    server.fail("/33TWM_2024-06-25/blue.tif", None)
    fetch(api)
    assert "1 file of" in capsys.readouterr().out
    now = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "box").iterdir()}
    assert now.items() >= kept.items() and "2024-06-25.tif" in now
    assert "is there already, damaged or of another box" in refused(capsys, api, bands="red,green")
    cut = (tmp_path / "box" / "2024-06-25.tif").read_bytes()
    (tmp_path / "box" / "2024-06-25.tif").write_bytes(cut[:-9000])
    assert "2024-06-25.tif: is there already, damaged or" in refused(capsys, api)
    (tmp_path / "box" / "2024-06-01.tif").write_bytes(b"mine")
    assert "is there already" in refused(capsys, api)


def test_the_target_and_the_others_are_chosen(api, capsys):
    def days(*more):
        fetch(api, "--dry-run", *more)
        return [line.split()[0] for line in capsys.readouterr().out.splitlines() if "33TWM" in line]

    assert days("--target", "2024-06-20") == ["2024-06-20", "2024-06-01", "2024-06-25", "2024-07-01"]
    assert days("--target", "2024-06-20", "--dates", "1") == ["2024-06-20", "2024-06-25"]
    assert days("--max-cloud", "95", "--dates", "9") == ["2024-07-01", "2024-06-01", "2024-06-20", "2024-06-25"]
    assert days("--dates", "0") == ["2024-07-01"]


@pytest.mark.parametrize(
    ("more", "choices", "message"),
    [
        ([], dict(collection="sentinel-2-l2"), "has no collection 'sentinel-2-l2': did you mean 'sentinel-2-l2a'?"),
        ([], dict(days="2023-06-01/2023-07-31"), "has no item in this box from 2023-06-01 to 2023-07-31"),
        ([], dict(days="2024-07-04/2024-07-31"), "none of the 1 items found covers the whole box: give a smaller one"),
        ([], dict(days="2024-06-01/2024-06-01"), "no other day has an item that covers the box and is at most 60 %"),
        (["--target", "2024-06-02"], {}, "--target 2024-06-02: no item of that day covers the box: there are"),
        ([], dict(bands="red,scl"), "the bands have several types (uint16, uint8): fetch those of one"),
        ([], dict(bands="red,nir"), "'nir' is not one of its assets: choose among"),
        ([], dict(box="15.05,46,15.02,46.02"), "the order is west,south,east,north"),
        ([], dict(box="499980,5090000,500000,5100000"), "are no degrees"),
        ([], dict(box="15,46,16"), "give west,south,east,north in degrees"),
        ([], dict(days="2024-07-01/2024-06-01"), "the first day is after the last one"),
        ([], dict(days="2024-07-01"), "give the first and the last day"),
        (["--target", "July"], {}, "--target July: is no day"),
        (["--max-cloud", "101"], {}, "0 to 100 per cent of cloud"),
    ],
)  # fmt: skip
def test_what_cannot_be_fetched(api, tmp_path, capsys, more, choices, message):
    assert message in refused(capsys, api, *more, **choices)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("path", "failure", "message"),
    [
        ("/v1", "login", "a web page came in place of a STAC API"),
        ("/v1", 401, "its server asks who you are (HTTP 401"),
        ("/v1/search", 403, "its server refuses access (HTTP 403)"),
        ("/v1/search", 503, "its server fails (HTTP 503"),
        ("/v1/search", "drop", "no server answers there"),
        ("/v1/search", 404, "is not there (HTTP 404)"),
    ],
)
def test_an_api_that_fails(api, server, tmp_path, capsys, path, failure, message):
    server.fail(path, failure)
    assert message in refused(capsys, f"{api}?key=SECRET")
    assert list(tmp_path.iterdir()) == []


def test_addresses_that_are_no_api(api, server, monkeypatch, capsys):
    assert "give the address of a STAC API" in refused(capsys, "earth-search")
    assert "no server answers there" in refused(capsys, "http://127.0.0.1:9/v1")
    server.page("/catalog", dict(type="Catalog", stac_version="1.0.0", id="x", description="static", links=[]))
    assert "is a catalog that cannot be searched" in refused(capsys, f"{server.url}/catalog")
    server.page("/other", ["no", "catalog"])
    assert "cannot be read as a STAC API" in refused(capsys, f"{server.url}/other")
    monkeypatch.setenv("DECLOUDS_OFFLINE", "1")
    assert "$DECLOUDS_OFFLINE forbids the network" in refused(capsys, api)


@pytest.mark.parametrize("corners", [[], "abc", [[]], [[["a", 1]]]])
def test_what_a_server_sends_is_not_trusted(server, root, capsys, corners):
    *items, odd, _ = root[1]
    odd = odd | {"geometry": {"type": "Polygon", "coordinates": corners}}
    items[-1] = items[-1] | {"id": "../a\n\x1b[31mb"}
    fetch(serve_api(server, [*items, odd]), "--dry-run", "--dates", "1")
    assert "2024-06-25 ../a??[31mb: 5 % cloud, to be cleared" in capsys.readouterr().out.splitlines()


def test_a_search_that_failed_for_a_moment_is_repeated(api, server, capsys):
    server.fail("/v1/search", 503, 429, None)
    fetch(api, "--dry-run", "--target", str(datetime.date(2024, 6, 25)), "--dates", "1")
    assert len(server.searches) == 1 and "2024-06-25" in capsys.readouterr().out
