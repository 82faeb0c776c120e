"""Scenes, masks and other dates on the web: read in parts, without showing secrets, and with failures in one line."""

import json
import os

import numpy as np
import pytest
import rasterio
from affine import Affine
from clearing import clear_scene, remover
from web_server import FAST, serving

from declouds.errors import UserError
from declouds.scenes import clear
from declouds.scenes.api import remove_clouds
from declouds.scenes.inputs import find_scenes, find_series
from declouds.scenes.options import SceneOptions
from declouds.scenes.rasters.scene_file import GDAL_OPTIONS, open_scene, source_files
from declouds.scenes.rasters.stamp import stamp_of
from declouds.scenes.rasters.web_path import WebPath, located, redacted
from declouds.value_range import ValueRange

PLACE = Affine(10, 0, 499980, 0, -10, 5100000)
SIDE, SMALL = 640, 256
MODEL = dict(bands=3, in_bands=3, value_range=ValueRange(0, 4000))
ADDRESS = "https://me:word@host:80/a/my%20scene.tif?token=a//b&x=1"


@pytest.fixture
def server(tmp_path, monkeypatch):
    for name, value in FAST.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "web").mkdir()
    with serving(tmp_path / "web") as server:
        yield server


def cog(path, pixels, **profile):
    """Write a tiled GeoTIFF with overviews, its bands one after the other."""
    count, height, width = pixels.shape
    profile |= dict(count=count, height=height, width=width, dtype=pixels.dtype, crs="EPSG:32633", transform=PLACE)
    layout = dict(tiled=True, blockxsize=128, blockysize=128, compress="deflate", interleave="band")
    with rasterio.open(path, "w", driver="GTiff", photometric="minisblack", **profile, **layout) as file:
        file.write(pixels)
        file.build_overviews([2, 4])
    return path


def noise(bands=6, seed=0, side=SIDE):
    return np.random.default_rng(seed).integers(1, 4000, (bands, side, side)).astype(np.uint16)


def darker(cloudy, noise):
    return cloudy - 0.5


def corner(path, side=SIDE):
    mask = np.zeros((1, side, side), np.uint8)
    mask[:, :64, :64] = 1
    return cog(path, mask)


def test_an_address_is_a_path_without_its_secrets():
    path = located(ADDRESS)
    assert isinstance(path, WebPath) and os.fspath(path) == f"/vsicurl/{ADDRESS}"
    assert str(path) == f"{path}" == "https://host:80/a/my%20scene.tif?..."
    assert (path.name, path.stem, path.suffix, path.parent.name) == ("my scene.tif", "my scene", ".tif", "a")
    assert not (path.exists() or path.is_dir() or path.is_file()) and path.absolute() is path.resolve() is path
    assert located(os.fspath(path)) == located(path) == path != located(f"{ADDRESS}2")
    for given, name in (
        ("s3://bucket/k?y.tif", "/vsis3/bucket/k?y.tif"), ("/vsigs/b/a.tif", "/vsigs/b/a.tif"),
        ("az://c/a.tif", "/vsiaz/c/a.tif"), ("HTTP://h/a.tif", "/vsicurl/http://h/a.tif"),
    ):  # fmt: skip
        assert os.fspath(located(given)) == name
    assert not isinstance(located("ftp://host/a.tif"), WebPath) and not isinstance(located("https.tif"), WebPath)
    assert redacted(f"'/vsicurl/{ADDRESS}' is bad, a.tif?x") == "'https://host:80/a/my%20scene.tif?...' is bad, a.tif?x"
    assert redacted("az://box/a.tif?sig=x is bad") == "az://box/a.tif?... is bad"


def test_what_inputs_may_be(tmp_path):
    (tmp_path / "out").mkdir()
    one, other = located(ADDRESS), located("s3://b/other.tif")
    assert find_scenes([ADDRESS], tmp_path / "clear.tif") == [(one, tmp_path / "clear.tif")]
    assert find_scenes([ADDRESS], tmp_path / "out") == [(one, tmp_path / "out" / "my scene.tif")]
    destinations = [tmp_path / "out" / name for name in ("my scene.tif", "other.tif")]
    assert find_scenes([ADDRESS, "s3://b/other.tif"], tmp_path / "out") == list(
        zip([one, other], destinations, strict=True)
    )
    for given, message in (("ftp://host/a.tif?sig=x", r"a\.tif\?\.\.\.: files are read from addresses"),):
        with pytest.raises(UserError, match=message):
            find_scenes([given], tmp_path / "out")


def test_only_what_is_needed_is_read_and_the_result_is_that_of_the_file(server, tmp_path):
    file, mask = cog(server.root / "a.tif", noise(), nodata=0), corner(server.root / "mask.tif")
    model = remover(darker, **MODEL)
    asked = dict(bands=["5", "1", "3"], tile=64, overlap=16)
    clear.clear_scene(model, file, tmp_path / "here.tif", SceneOptions(mask=str(mask), **asked))
    address, mask_address = (f"{server.url}/{name}.tif?token=SECRET" for name in ("a", "mask"))
    clear.clear_scene(model, address, tmp_path / "there.tif", SceneOptions(mask=mask_address, **asked))
    with rasterio.open(tmp_path / "here.tif") as here, rasterio.open(tmp_path / "there.tif") as there:
        assert (here.read() == there.read()).all() and (here.read() != noise()[[4, 0, 2]]).any()
    # Three of six bands, and no overview: at most once for the result, and again under the mask.
    assert 0.4 * file.stat().st_size < server.sent["/a.tif"] < 0.6 * file.stat().st_size
    assert {path for _, path in server.asked} == {"/a.tif?token=SECRET", "/mask.tif?token=SECRET"}  # nothing beside
    summary = json.loads((tmp_path / "there.json").read_text())
    assert summary["source"]["name"] == "a.tif" and summary["mask"]["file"] == "mask.tif"
    assert not any(b"SECRET" in path.read_bytes() for path in tmp_path.glob("there*"))


@pytest.mark.parametrize(
    ("failures", "message"),
    [
        ([404], "is not there .HTTP 404.: check the address"),
        ([403], "its server refuses access .HTTP 403.: sign the address again if that has expired"),
        ([401], "its server asks who you are .HTTP 401.: give credentials: an address that is signed, or GDAL_HTTP"),
        ([503], "its server fails .HTTP 503.: try again later"),
        ([429], "its server gets too many requests .HTTP 429"),
        (
            ["login"],
            "a web page came in place of a raster: check the address, and give credentials if the page is a login",
        ),
        (["whole"], "its server gives whole files only, no parts of them .*: download it, and give the file"),
        (["slow"], "its server does not answer in time .*: try again later, or set GDAL_HTTP_CONNECTTIMEOUT"),
        (["drop"], "no server answers there"),
    ],
)
def test_a_scene_that_cannot_be_opened(server, tmp_path, monkeypatch, failures, message):
    cog(server.root / "a.tif", noise(3))
    address = f"{server.url}/a.tif?token=SECRET"
    server.fail("/a.tif", *failures)
    if failures == ["slow"]:
        monkeypatch.setenv("GDAL_HTTP_LOW_SPEED_TIME", "1")
    with pytest.raises(UserError, match=message) as found:
        remove_clouds(address, output=tmp_path / "clear.tif")
    assert str(found.value).startswith(f"{server.url}/a.tif?...: ") and "\n" not in str(found.value)
    assert "SECRET" not in str(found.value) and sorted(path.name for path in tmp_path.iterdir()) == ["web"]
    server.fail("/a.tif", None)  # the same process finds out that it can be opened now
    with open_scene(located(address)) as scene:
        assert scene.count == 3


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("http://127.0.0.1:9/a.tif", "no server answers there"),
        ("https://no-such-host.invalid/a.tif", "there is no such server"),
        ("https://host/a.zip", "folders and archives are read from this machine alone"),
        ("https://host/S2A.SAFE", "folders and archives are read from this machine alone"),
    ],
)
def test_servers_that_are_not_there_and_what_cannot_be_read_from_them(server, address, message):
    with pytest.raises(UserError, match=message), open_scene(located(address)):
        pass


def test_pictures_stay_on_this_machine(server):
    with rasterio.open(server.root / "a.png", "w", driver="PNG", count=3, height=9, width=8, dtype="uint8") as file:
        file.write(np.ones((3, 9, 8), np.uint8))
    with (
        pytest.raises(UserError, match="pictures are read from this machine alone"),
        open_scene(located(f"{server.url}/a.png")),
    ):
        pass


def test_no_network_where_it_is_forbidden(server, tmp_path, monkeypatch):
    monkeypatch.setenv("DECLOUDS_OFFLINE", "1")
    with pytest.raises(UserError, match=r"a\.tif: is on the web, and \$DECLOUDS_OFFLINE forbids that"):
        remove_clouds(f"{server.url}/a.tif", output=tmp_path / "clear.tif")
    assert server.asked == []


def test_a_server_that_fails_on_the_way_is_asked_again(server, tmp_path):
    cog(server.root / "a.tif", noise(3, side=SMALL))
    for failure in (503, "cut", "drop"):
        address = f"{server.url}/a.tif?{failure}"
        with open_scene(located(address)) as scene:
            server.fail("/a.tif", failure, failure, None)
            result = tmp_path / f"{failure}.tif"
            assert scene.count == 3
        clear_scene(darker, address, result, **MODEL)
        with rasterio.open(result) as file:
            assert file.shape == (SMALL, SMALL)


def test_a_server_that_dies_leaves_nothing_half_written_and_the_work_goes_on_later(server, tmp_path, monkeypatch):
    monkeypatch.setitem(GDAL_OPTIONS, "GDAL_CACHEMAX", 2**16)  # so that it has to ask on the way
    file, result = cog(server.root / "a.tif", noise(3, side=SMALL)), tmp_path / "clear.tif"
    address, options = f"{server.url}/a.tif", SceneOptions(tile=64, overlap=16, blend="final")

    def die(title, done, total):
        if done > 8:
            server.fail("/a.tif", 403)

    model = remover(darker, **MODEL)
    with pytest.raises(UserError, match=r"its server refuses access .HTTP 403.: sign the address again"):
        clear.clear_scene(model, f"{address}?token=OLD", result, options, progress=die)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".clear.tif.partial", "web"]
    assert b"OLD" not in (tmp_path / ".clear.tif.partial" / "ledger.json").read_bytes()
    server.fail("/a.tif", None)
    seen = []
    clear.clear_scene(model, f"{address}?token=NEW", result, options, progress=lambda *state: seen.append(state[1]))
    assert seen[0] == 6  # the first row of five is kept: the job resumed with a newly signed address
    clear_scene(darker, file, tmp_path / "here.tif", tile=64, overlap=16, blend="final", **MODEL)
    with rasterio.open(result) as one, rasterio.open(tmp_path / "here.tif") as other:
        assert (one.read() == other.read()).all()


def test_work_on_a_file_that_has_changed_is_known(server):
    path = located(f"{server.url}/a.tif")
    cog(server.root / "a.tif", noise(3))
    before = stamp_of(path)
    assert before == stamp_of(located(f"{server.url}/a.tif?token=1"))
    cog(server.root / "b.tif", noise(3, seed=1))
    assert stamp_of(located(f"{server.url}/b.tif")) != before


def test_other_dates_on_the_web_fill_the_clouds(server, tmp_path):
    ground = noise(3, side=SMALL)
    cloudy = ground.copy()
    cloudy[:, :64, :64] = 9000
    for day, pixels in (("2024-06-01", ground), ("2024-06-11", cloudy), ("2024-06-21", ground)):
        cog(server.root / f"{day}.tif", pixels)
    clean = np.zeros((1, SMALL, SMALL), np.uint8)
    corner(server.root / "mask.tif", SMALL), cog(server.root / "clean.tif", clean)
    days = [f"{server.url}/2024-06-{day}.tif?token=SECRET" for day in ("01", "11", "21")]
    result = remove_clouds(
        days[1], output=tmp_path / "clear.tif", dates=[days[0], f"{days[2]}@2024-06-21"], mask=f"{server.url}/mask.tif",
        date_masks=[f"{server.url}/clean.tif"] * 2, colour="keep",
    )  # fmt: skip
    with rasterio.open(result) as file:
        assert (file.read() == ground).all()
    summary = (tmp_path / "clear.json").read_text()
    assert "SECRET" not in summary and [date["name"] for date in json.loads(summary)["dates"]] == [
        "2024-06-01.tif",
        "2024-06-21.tif",
    ]
    target, others = find_series(days, "2024-06-11")
    assert target == located(days[1]) and others == [located(days[0]), located(days[2])]
    with pytest.raises(UserError, match=r"2024-06-01\.tif\?\.\.\.: is named twice"):
        remove_clouds(days[1], output=tmp_path / "b.tif", dates=[days[0]] * 2)


def test_a_mosaic_here_of_files_there(server, tmp_path):
    cog(server.root / "a.tif", noise(3, side=SMALL))
    from declouds.scenes.rasters.stack import Layer, stack

    (tmp_path / "a.vrt").write_text(stack([Layer(located(f"{server.url}/a.tif?token=1"), "red", 1)]))
    with open_scene(tmp_path / "a.vrt") as scene:
        assert located(f"{server.url}/a.tif?token=1") in source_files(scene)
        assert (scene.read(1) == noise(3, side=SMALL)[0]).all()


def test_a_bucket(server, tmp_path, monkeypatch):
    (server.root / "bucket").mkdir()
    cog(server.root / "bucket" / "a.tif", noise(3, side=SMALL))
    for name, value in dict(
        AWS_S3_ENDPOINT=server.url.removeprefix("http://"), AWS_HTTPS="NO", AWS_VIRTUAL_HOSTING="FALSE",
        AWS_EC2_METADATA_DISABLED="YES", CPL_AWS_CREDENTIALS_FILE=str(tmp_path / "none"),
        AWS_CONFIG_FILE=str(tmp_path / "none"), AWS_SHARED_CREDENTIALS_FILE=str(tmp_path / "none"),
        CPL_AWS_EC2_API_ROOT_URL=server.url,
    ).items():  # fmt: skip
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    with pytest.raises(UserError, match=r"^s3://bucket/a\.tif: there are no credentials .*: set AWS_ACCESS_KEY_ID and"):
        remove_clouds("s3://bucket/a.tif", output=tmp_path / "clear.tif")
    monkeypatch.setenv("AWS_NO_SIGN_REQUEST", "YES")
    with open_scene(located("s3://bucket/a.tif")) as scene:
        assert (scene.read(2) == noise(3, side=SMALL)[1]).all()
    with (
        pytest.raises(UserError, match=r"^s3://bucket/b\.tif: is not there"),
        open_scene(located("/vsis3/bucket/b.tif")),
    ):
        pass
    server.fail("/bucket/c.tif", 403)
    with (
        pytest.raises(UserError, match=r"^s3://bucket/c\.tif: its server refuses access"),
        open_scene(located("s3://bucket/c.tif")),
    ):
        pass
