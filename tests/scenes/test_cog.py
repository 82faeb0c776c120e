import subprocess
import sys
import textwrap

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.rpc import RPC

from declouds.errors import UserError
from declouds.scenes.rasters.cog import write_cog

FIELDS = (
    *("width", "height", "count", "dtypes", "crs", "transform", "descriptions", "colorinterp", "scales", "offsets"),
    *("units", "rpcs", "mask_flag_enums"),
)
KEPT_NOT = {"IMAGE_STRUCTURE", "DERIVED_SUBDATASETS"}
GRID = dict(crs="EPSG:32618", transform=Affine(8.66, 5, 5e5, 5, -8.66, 5e6))  # turned
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def write(path, pixels, describe=lambda file: None, mask=None, **profile):
    count, height, width = pixels.shape
    profile = {"photometric": "MINISBLACK", **GRID, **profile}
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(
            path, "w", driver="GTiff", tiled=True, blockxsize=256, blockysize=256, compress="deflate",
            width=width, height=height, count=count, dtype=pixels.dtype, **profile,
        ) as file,
    ):  # fmt: skip
        describe(file)
        file.write(pixels)
        if mask is not None:
            file.write_mask(mask)
    return path


def noise(count=3, size=(600, 540), dtype="uint16", low=100, high=200):
    return np.random.default_rng(0).integers(low, high, (count, *size)).astype(dtype)


def tags(file, band):
    return {n: file.tags(band, ns=n) for n in [None, *file.tag_namespaces(band)] if n not in KEPT_NOT}


def points(file):
    return [[point.asdict() | {"id": None} for point in file.gcps[0]], file.gcps[1]]


def assert_twins(source, copy):
    """Every field, every tag, every pixel and mask."""
    with rasterio.open(source) as before, rasterio.open(copy) as after:
        for field in FIELDS:
            assert getattr(before, field) == getattr(after, field), field
        assert str(before.nodatavals) == str(after.nodatavals)  # NaN is not NaN
        assert points(before) == points(after)
        for band in range(before.count + 1):
            assert tags(before, band) == tags(after, band)
        assert before.read().tobytes() == after.read().tobytes()
        np.testing.assert_array_equal(before.read_masks(), after.read_masks())
        assert after.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert after.overviews(1) == ([2] if max(after.shape) > 512 else [])
    assert [path.name for path in copy.parent.iterdir()] == [copy.name]


@pytest.fixture
def copy(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / ".clear.partial"


def everything(file):
    file.descriptions = ("B2", "B3", "B4", "B8")
    file.scales, file.offsets, file.units = (1e-4,) * 4, (-0.1,) * 4, ("reflectance",) * 4
    file.colorinterp = (ColorInterp.blue, ColorInterp.green, ColorInterp.red, ColorInterp.undefined)
    file.update_tags(ACQUIRED="2024-05-06", TIFFTAG_SOFTWARE="maker", empty="")
    file.update_tags(ns="PRODUCT", level="2A", text=" a=b & <ü>\n\"']]> &amp; ", long="x" * 5000)
    file.update_tags(ns='odd & "quoted"', **{"a <key>": "1"})
    file.update_tags(2, wavelength="560")
    file.update_tags(2, ns="CALIBRATION", gain="0.1")
    file.update_tags(3, ns="IMAGERY", CENTRAL_WAVELENGTH_UM="0.665")


def test_everything_that_a_product_carries(tmp_path, copy):
    source = write(tmp_path / "a & b ü.tif", noise(4), everything, nodata=0)
    write_cog(source, copy)
    assert_twins(source, copy)
    with rasterio.open(copy) as file:
        assert not any(key.startswith("ROOM_") for key in file.tags())
        assert file.tags(2) == {"wavelength": "560"} and file.tags(2, ns="CALIBRATION") == {"gain": "0.1"}
    head = copy.read_bytes()[:20_000]
    assert b'domain="PRODUCT"' in head  # where a reader over the network finds it with its first request


@pytest.mark.parametrize("size", [(1, 1), (512, 512), (513, 40), (1100, 1030)])
@pytest.mark.parametrize("masked", [True, False])
def test_the_validator_accepts_it(tmp_path, copy, size, masked):
    validate = pytest.importorskip("rio_cogeo").cog_validate
    kind = dict(mask=np.full(size, 255, np.uint8)) if masked else dict(nodata=0)
    source = write(tmp_path / "scene.tif", noise(4, size), everything, **kind)
    write_cog(source, copy)
    assert validate(copy, strict=True, quiet=True) == (True, [], [])
    assert validate(source, strict=True, quiet=True)[0] is (max(size) <= 512)  # it can say no


def test_a_mask_and_a_scene_too_small_for_overviews(tmp_path, copy):
    for size in ((600, 540), (40, 30), (1, 1)):
        mask = np.full(size, 255, np.uint8)
        mask[: size[0] // 3, size[1] // 2 :] = 0
        source = write(tmp_path / "scene.tif", noise(4, size), everything, mask=mask)
        write_cog(source, copy)
        assert_twins(source, copy)
        with rasterio.open(copy) as file:
            assert file.mask_flag_enums[0] == [MaskFlags.per_dataset]
            assert (file.dataset_mask() == mask).all()
        copy.unlink()


def test_ground_control_points(tmp_path, copy):
    def describe(file):
        at = [GroundControlPoint(r, c, 10 + c / 100, 50 - r / 100, 3) for r in (0, 80) for c in (0, 90)]
        file.gcps = at, rasterio.CRS.from_epsg(4326)

    source = write(tmp_path / "scene.tif", noise(), describe, crs=None, transform=None)
    write_cog(source, copy)
    assert_twins(source, copy)
    with rasterio.open(copy) as file:
        assert len(file.gcps[0]) == 4


def test_rational_polynomial_coefficients(tmp_path, copy):
    names = ("line_num_coeff", "line_den_coeff", "samp_num_coeff", "samp_den_coeff")
    coefficients = {name: [i / 8 for i in range(20)] for name in names}
    places = {f"{axis}_{kind}": 3.5 for axis in ("height", "lat", "long", "line", "samp") for kind in ("off", "scale")}
    rpcs = RPC(**coefficients, **places, err_bias=1.0, err_rand=0.5)
    source = write(tmp_path / "scene.tif", noise(), lambda file: setattr(file, "rpcs", rpcs), crs=None, transform=None)
    write_cog(source, copy)
    assert_twins(source, copy)
    with rasterio.open(copy) as file:
        assert file.rpcs == rpcs


@pytest.mark.parametrize(
    ("dtype", "nodata"),
    [("uint8", 0), ("uint16", 65535), ("int16", -9999), ("int64", -1), ("float32", np.nan), ("float64", -1e300)],
)
def test_type_and_nodata(tmp_path, copy, dtype, nodata):
    pixels = noise(1, dtype=dtype)
    pixels[:, :100] = nodata
    source = write(tmp_path / "scene.tif", pixels, nodata=nodata)
    write_cog(source, copy)
    assert_twins(source, copy)


@pytest.mark.parametrize(
    "colours",
    [
        ("red", "green", "blue", "alpha"),
        ("red", "green", "blue", "undefined"),
        ("blue", "green", "red"),
        ("gray", "alpha"),
    ],
)
def test_colour_interpretation(tmp_path, copy, colours):
    def describe(file):
        file.colorinterp = [ColorInterp[colour] for colour in colours]

    source = write(tmp_path / "scene.tif", noise(len(colours), dtype="uint8"), describe)
    write_cog(source, copy)
    assert_twins(source, copy)


def test_overviews_are_averages_of_the_pixels_with_data(tmp_path, copy):
    pixels = noise(1, (520, 520), low=1, high=1000)
    pixels[0, :, 101:300] = 0  # the pixels of the overview at column 50 are half nodata
    source = write(tmp_path / "scene.tif", pixels, nodata=0)
    write_cog(source, copy)
    with rasterio.open(copy, OVERVIEW_LEVEL=0) as file:
        small = file.read(1)
    assert small.shape == (260, 260)
    quarters = pixels[0].reshape(260, 2, 260, 2).astype(float)
    np.testing.assert_allclose(small[:, :50], quarters.mean((1, 3))[:, :50], atol=0.5)
    np.testing.assert_allclose(small[:, 50], quarters[:, :, 50, 0].mean(1), atol=0.5)  # not halved by the zeros
    assert not small[:, 51:150].any()


def test_overviews_of_a_mask_stay_a_mask(tmp_path, copy):
    mask = np.full((520, 520), 255, np.uint8)
    mask[:, 101:300] = 0
    write_cog(write(tmp_path / "scene.tif", noise(1, (520, 520)), mask=mask), copy)
    with rasterio.open(copy, OVERVIEW_LEVEL=0) as file:
        small = file.dataset_mask()
    assert set(np.unique(small)) == {0, 255}
    assert (small[:, :50] == 255).all() and not small[:, 51:150].any()


def test_a_real_scene(shared, tmp_path, copy):
    source = tmp_path / "scene.tif"
    with rasterio.open(shared / "data" / "scene" / "landsat_bahamas.tif") as scene:
        write(source, scene.read(), crs=scene.crs, transform=scene.transform, nodata=scene.nodata, photometric="RGB")
    write_cog(source, copy)
    assert_twins(source, copy)


def test_relative_paths(tmp_path, copy, monkeypatch):
    source = write(tmp_path / "scene.tif", noise(4), everything)
    monkeypatch.chdir(tmp_path)
    write_cog(type(source)("scene.tif"), type(source)("out/clear.tif"))
    assert_twins(source, tmp_path / "out" / "clear.tif")


def test_an_existing_file_is_left_alone(tmp_path, copy):
    source = write(tmp_path / "scene.tif", noise(1, (20, 20)))
    content = source.read_bytes()
    with pytest.raises(UserError, match="exists already: choose another name"):
        write_cog(source, source)
    assert source.read_bytes() == content


def test_a_folder_that_is_not_there(tmp_path):
    source = write(tmp_path / "scene.tif", noise(1, (20, 20)))
    with pytest.raises(
        UserError, match=r"no/cog\.tif: cannot be written \(.+is the disk full, or the folder"
    ) as caught:
        write_cog(source, tmp_path / "no" / "cog.tif")
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["scene.tif"]


def test_a_source_that_is_damaged(tmp_path, copy):
    source = write(tmp_path / "scene.tif", noise())
    source.write_bytes(source.read_bytes()[:-2000])
    with pytest.raises(UserError, match="cannot be written"):
        write_cog(source, copy)
    assert not list(copy.parent.iterdir())


def test_pixels_that_come_out_otherwise_are_noticed(tmp_path, copy, monkeypatch):
    source, other = write(tmp_path / "scene.tif", noise()), write(tmp_path / "other.tif", noise(low=99))
    monkeypatch.setattr(
        "rasterio.shutil.copy", lambda name, path, **options: path.write_bytes(other.read_bytes()), raising=True
    )
    with pytest.raises(UserError, match=r"other pixels at row 0, column 0 than in scene\.tif"):
        write_cog(source, copy)
    assert not list(copy.parent.iterdir())


def test_a_full_disk(tmp_path, copy):
    """A limit on the size of files stands for the disk; most of what it refuses GDAL does not report by itself."""
    mask = np.full((600, 540), 255, np.uint8)
    source = write(tmp_path / "scene.tif", noise(2), lambda file: file.update_tags(ns="PRODUCT", level="2A"), mask=mask)
    write_cog(source, copy)
    size = copy.stat().st_size
    copy.unlink()
    code = f"""
        import resource, signal
        from pathlib import Path
        from declouds.errors import UserError
        from declouds.scenes.rasters.cog import write_cog
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        for limit in (100, {size // 4}, {size // 2}, {size - 5000}, {size - 1}):
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            try:
                write_cog(Path({str(source)!r}), Path({str(copy)!r}))
                print("written at", limit)
            except UserError as error:
                print("refused", "is the disk full" in str(error), len(list(Path({str(copy.parent)!r}).iterdir())))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines() == ["refused True 0"] * 5, done.stdout + done.stderr
