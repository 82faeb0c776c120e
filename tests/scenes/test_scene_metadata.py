import numpy as np
import pytest
import rasterio
from affine import Affine
from clearing import clear_scene
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp
from rasterio.rpc import RPC

from declouds.value_range import ValueRange

FIELDS = (
    *("width", "height", "count", "dtypes", "crs", "transform", "nodatavals", "descriptions", "colorinterp"),
    *("scales", "offsets", "units", "gcps", "rpcs", "mask_flag_enums", "bounds"),
)
COUNTS = ValueRange(0, 10000)
KEPT_NOT = {"IMAGE_STRUCTURE", "DERIVED_SUBDATASETS"}


def clear(source, output, value_range=COUNTS):
    with rasterio.open(source) as file:
        count = file.count
    clear_scene(
        lambda cloudy, noise: cloudy - 0.1, source, output,
        bands=count, in_bands=count, value_range=value_range, tile=64, overlap=16,
    )  # fmt: skip
    return output


def tags(file, band):
    return {
        namespace: {key: value for key, value in file.tags(band, ns=namespace).items() if "STATISTICS" not in key}
        for namespace in [None, *file.tag_namespaces(band)]
        if namespace not in KEPT_NOT
    }


def assert_same_description(source, output):
    with rasterio.open(source) as before, rasterio.open(output) as after:
        for field in FIELDS:
            one, other = getattr(before, field), getattr(after, field)
            if field == "gcps":  # points compare by identity
                one, other = [[[p.asdict() for p in points], crs] for points, crs in (one, other)]
            assert one == other, field
        for band in range(before.count + 1):
            assert tags(before, band) == tags(after, band)
    assert sorted(path.name for path in output.parent.iterdir()) == ["clear.json", output.name]


@pytest.fixture
def output(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "clear.tif"


@pytest.fixture
def make(tmp_path):
    def make(dtype="uint16", count=4, describe=lambda file: None, **profile):
        path = tmp_path / "scene.tif"
        with rasterio.open(path, "w", driver="GTiff", width=90, height=80, count=count, dtype=dtype, **profile) as file:
            describe(file)
            file.write(
                np.random.default_rng(0).integers(20, 200 if dtype == "uint8" else 900, (count, 80, 90)).astype(dtype)
            )
        return path

    return make


def test_a_real_scene(shared, output):
    source = shared / "data" / "scene" / "landsat_bahamas.tif"
    assert_same_description(source, clear(source, output, ValueRange(0, 255)))
    with rasterio.open(source) as before, rasterio.open(output) as after:
        assert "STATISTICS_MEAN" in before.tags(1)
        assert after.tags(1) == {}  # they told of the cloudy pixels


def test_everything_that_a_product_carries(make, output):
    def describe(file):
        file.descriptions = ("B2", "B3", "B4", "B8")
        file.scales, file.offsets, file.units = (1e-4,) * 4, (-0.1,) * 4, ("reflectance",) * 4
        file.colorinterp = (ColorInterp.blue, ColorInterp.green, ColorInterp.red, ColorInterp.undefined)
        file.update_tags(ACQUIRED="2024-05-06", TIFFTAG_SOFTWARE="maker", empty="")
        file.update_tags(ns="PRODUCT", level="2A", text="a=b & ü")
        file.update_tags(2, wavelength="560")
        file.update_tags(3, ns="IMAGERY", CENTRAL_WAVELENGTH_UM="0.665")

    turned = Affine(8.66, 5, 5e5, 5, -8.66, 5e6)
    source = make(describe=describe, nodata=0, crs="EPSG:32618", transform=turned, photometric="MINISBLACK")
    assert_same_description(source, clear(source, output, ValueRange(-0.1, 0)))
    with rasterio.open(output) as file:
        assert file.units == ("reflectance",) * 4 and file.tags(ns="PRODUCT")["text"] == "a=b & ü"
        assert file.profile["tiled"] and file.compression.name == "deflate"


def test_ground_control_points(make, output):
    points = [GroundControlPoint(r, c, 10 + c / 100, 50 - r / 100, 3) for r in (0, 80) for c in (0, 90)]

    def describe(file):
        file.gcps = points, rasterio.CRS.from_epsg(4326)

    source = make(describe=describe)
    assert_same_description(source, clear(source, output))
    with rasterio.open(output) as file:
        assert len(file.gcps[0]) == 4 and file.transform.is_identity


def test_rational_polynomial_coefficients(make, output):
    numbers = [i / 8 for i in range(20)]
    coefficients = dict.fromkeys(("line_num_coeff", "line_den_coeff", "samp_num_coeff", "samp_den_coeff"), numbers)
    places = {f"{axis}_{kind}": 3.5 for axis in ("height", "lat", "long", "line", "samp") for kind in ("off", "scale")}
    rpcs = RPC(**coefficients, **places, err_bias=1.0, err_rand=0.5)

    def describe(file):
        file.rpcs = rpcs

    source = make(describe=describe)
    assert_same_description(source, clear(source, output))
    with rasterio.open(output) as file:
        assert file.rpcs == rpcs


@pytest.mark.parametrize("pixel_is", ["Area", "Point"])
@pytest.mark.parametrize("crs", [None, "EPSG:4326", "+proj=laea +lat_0=52 +lon_0=10 +ellps=GRS80 +units=m"])
def test_the_grid(make, output, pixel_is, crs):
    source = make(
        describe=lambda file: file.update_tags(AREA_OR_POINT=pixel_is),
        crs=crs,
        transform=Affine(0.001, 0, 10.1234567890123, 0, -0.002, 52.9876543210987),
    )
    assert_same_description(source, clear(source, output))


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_plain_image_without_a_grid(make, output):
    source = make()
    assert_same_description(source, clear(source, output))


@pytest.mark.parametrize(
    "colours",
    [
        ("red", "green", "blue", "undefined"),
        ("red", "green", "blue", "alpha"),
        ("gray", "undefined", "undefined", "undefined"),
        ("red", "green", "blue"),
        ("blue", "green", "red"),
        ("gray", "undefined"),
        ("gray", "alpha"),
        ("gray",),
    ],
)
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_colour_interpretation(make, output, colours, dtype):
    def describe(file):
        file.colorinterp = [ColorInterp[colour] for colour in colours]

    source = make(dtype, len(colours), describe, crs="EPSG:32618", transform=Affine(1, 0, 0, 0, -1, 9))
    clear(source, output, ValueRange(0, 255) if dtype == "uint8" else ValueRange(0, 10000))
    assert_same_description(source, output)


@pytest.mark.parametrize(
    ("dtype", "nodata"),
    [
        ("uint16", 65535), ("int16", -9999), ("uint32", 4_000_000_000), ("int32", -(2**31)), ("float32", -9999),
        ("float32", float(np.finfo("float32").min)), ("float64", -1e300), ("uint16", 1.5), ("int64", -1),
        ("uint16", None),
    ],
)  # fmt: skip
def test_type_and_nodata(make, output, dtype, nodata):
    source = make(dtype, 2, nodata=nodata, crs="EPSG:32618", transform=Affine(1, 0, 0, 0, -1, 9))
    assert_same_description(source, clear(source, output, ValueRange(0, 1000)))
    with rasterio.open(source) as before, rasterio.open(output) as after:
        np.testing.assert_allclose(after.read(), np.maximum(before.read().astype(float) - 50, 0), atol=1e-3)
