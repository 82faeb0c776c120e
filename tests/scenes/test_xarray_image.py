import subprocess
import sys

import numpy as np
import pytest
import rasterio
from affine import Affine

from declouds.errors import UserError
from declouds.scenes.xarray_image import from_xarray, is_xarray, like

xarray = pytest.importorskip("xarray")
rioxarray = pytest.importorskip("rioxarray")

pytestmark = [
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Transform that is non-rectilinear"),  # of rioxarray, which keeps it all the same
]
TURNED = Affine(8.66, 5, 5e5, 5, -8.66, 5e6)
STRAIGHT = Affine(10, 0, 5e5, 0, -10, 5e6)


@pytest.fixture
def scene(tmp_path):
    def scene(count=4, dtype="uint16", transform=STRAIGHT, nodata=0):
        path = tmp_path / "scene.tif"
        with rasterio.open(
            path, "w", driver="GTiff", width=30, height=20, count=count, dtype=dtype, nodata=nodata,
            crs="EPSG:32618", transform=transform,
        ) as file:  # fmt: skip
            file.descriptions = ("B02", "B03", "B04", "B08")[:count]
            file.scales, file.offsets = (1e-4,) * count, (-0.1,) * count
            file.update_tags(ACQUIRED="2024-05-06")
            file.write(np.random.default_rng(0).integers(0, 5, (count, 20, 30)).astype(dtype))
        return path

    return scene


def read(path):
    with rasterio.open(path) as file:
        return file.read()


@pytest.mark.parametrize("transform", [STRAIGHT, TURNED])
@pytest.mark.parametrize("bands", [4, 3, 1])
def test_a_scene_goes_through_and_into_a_file_again(scene, tmp_path, transform, bands):
    source = scene(transform=transform)
    image = rioxarray.open_rasterio(source)
    values, nodata = from_xarray(image)
    np.testing.assert_array_equal(values, read(source))
    assert nodata == 0 and values.dtype == np.uint16
    cleared = like(image, values[:bands] + np.uint16(1))
    cleared.rio.to_raster(tmp_path / "clear.tif")
    np.testing.assert_array_equal(read(tmp_path / "clear.tif"), read(source)[:bands] + 1)
    with rasterio.open(source) as before, rasterio.open(tmp_path / "clear.tif") as after:
        for field in ("crs", "transform", "shape"):
            assert getattr(before, field) == getattr(after, field), field
        for field in ("dtypes", "nodatavals", "descriptions", "scales", "offsets"):
            assert getattr(before, field)[:bands] == getattr(after, field), field
        assert after.tags()["ACQUIRED"] == "2024-05-06"


def test_everything_but_the_pixels_stays(scene):
    image = rioxarray.open_rasterio(scene()).rename("reflectance")
    image.attrs["STATISTICS_MEAN"] = 3
    image.encoding["zlib"] = True
    before = image.copy(deep=True)
    result = like(image, np.full(image.shape, 7, np.uint16))
    assert (result.values == 7).all() and result.dtype == np.uint16
    xarray.testing.assert_identical(image, before)  # the original is left alone
    assert result.name == "reflectance" and result.dims == image.dims and result.encoding == image.encoding
    for name in image.coords:
        xarray.testing.assert_identical(result.coords[name], image.coords[name])
    assert result.attrs == {key: value for key, value in image.attrs.items() if key != "STATISTICS_MEAN"}
    assert result.rio.crs == image.rio.crs and result.rio.nodata == 0


def test_fewer_bands_are_the_first(scene):
    image = rioxarray.open_rasterio(scene())
    result = like(image, from_xarray(image)[0][:3])
    assert result.band.values.tolist() == [1, 2, 3] and result.attrs["long_name"] == ("B02", "B03", "B04")
    assert result.encoding == image.encoding


def test_one_band_without_a_dimension_of_its_own(scene):
    image = rioxarray.open_rasterio(scene(count=1)).squeeze("band")
    values, _ = from_xarray(image)
    assert values.shape == (1, 20, 30)
    result = like(image, values)
    xarray.testing.assert_equal(result, image)
    assert result.dims == ("y", "x") and result.band == 1


def test_chunks_are_computed(scene):
    pytest.importorskip("dask")
    path = scene()
    image = rioxarray.open_rasterio(path, chunks=10)
    values, _ = from_xarray(image)
    assert isinstance(values, np.ndarray)
    np.testing.assert_array_equal(values, read(path))
    assert like(image, values).chunks is None


@pytest.mark.parametrize(
    ("kind", "options", "expected"),
    [
        (dict(nodata=0), {}, 0),
        (dict(nodata=None), {}, None),
        (dict(nodata=0), dict(masked=True), None),  # NaN in its place
        (dict(nodata=-9999, dtype="float32"), {}, -9999),
        (dict(nodata=np.nan, dtype="float32"), {}, None),
    ],
)
def test_nodata(scene, kind, options, expected):
    values, nodata = from_xarray(rioxarray.open_rasterio(scene(**kind), **options))
    assert nodata == expected
    assert np.isnan(values).any() == bool(options)


@pytest.mark.parametrize("name", ["_FillValue", "missing_value", "nodata"])
def test_nodata_of_other_readers(name):
    image = xarray.DataArray(np.ones((1, 2, 3), np.int16), dims=("band", "y", "x"), attrs={name: np.int16(-5)})
    assert from_xarray(image)[1] == -5
    image = xarray.DataArray(np.ones((2, 3), np.int16), dims=("lat", "lon"))
    image.encoding["_FillValue"] = 9
    assert from_xarray(image)[1] == 9


@pytest.mark.parametrize(
    ("dims", "message"),
    [
        (("y", "x", "band"), r'\(y, x, band\): put them in order with image.transpose\("band", "y", "x"\)'),
        (("band", "x", "y"), r'image.transpose\("band", "y", "x"\)'),
        (("channel", "lon", "lat"), r'image.transpose\("channel", "lat", "lon"\)'),
        (("time", "y", "x"), r"are \(time, y, x\), and an image has \(band, y, x\).* image.isel\(time=0\)"),
        (("time", "band", "y", "x"), "choose one image of several"),
        (("band", "height", "width"), r'image.rename\(\{"height": "y"\}\)'),
        (("band", "x"), "an image has"),
        (("y", "lat", "x"), "an image has"),
        (("x",), "an image has"),
    ],
)
def test_other_dimensions_are_refused(dims, message):
    with pytest.raises(UserError, match=message) as caught:
        from_xarray(xarray.DataArray(np.zeros((2,) * len(dims)), dims=dims))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dims", [("x", "y"), ("lon", "lat")])
def test_two_dimensions_the_wrong_way_round(dims):
    with pytest.raises(UserError, match="put them in order"):
        from_xarray(xarray.DataArray(np.zeros((2, 2)), dims=dims))


def test_a_dataset_is_refused_with_the_way_to_an_image():
    image = xarray.DataArray(np.zeros((2, 3)), dims=("y", "x"))
    dataset = xarray.Dataset(dict(B04=image, B03=image))
    assert is_xarray(dataset)
    with pytest.raises(UserError, match=r"the variables B04, B03: .* ds\.to_dataarray\('band'\)"):
        from_xarray(dataset)
    assert from_xarray(dataset.to_dataarray("band"))[0].shape == (2, 2, 3)


def test_what_is_an_image_of_xarray():
    image = xarray.DataArray(np.zeros((2, 3)), dims=("y", "x"))
    assert is_xarray(image)
    assert not is_xarray(image.values) and not is_xarray("scene.tif") and not is_xarray(image.variable)


def test_xarray_is_not_imported():
    code = """import sys
from declouds.scenes.xarray_image import is_xarray
print(is_xarray(1), "xarray" in sys.modules)"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_a_mask_may_be_one_of_xarrays_too():
    import numpy as np
    import xarray
    from test_remove_clouds import Model

    from declouds.scenes.api import remove_clouds

    pixels = np.random.default_rng(0).integers(1, 10000, (2, 40, 50)).astype(np.uint16)
    cloud = np.zeros((40, 50), bool)
    cloud[10:20, 5:30] = True
    expected = remove_clouds(pixels, Model(), mask=cloud)
    for mask in (xarray.DataArray(cloud, dims=("y", "x")), xarray.DataArray(cloud[None], dims=("band", "y", "x"))):
        np.testing.assert_array_equal(remove_clouds(pixels, Model(), mask=mask), expected)
    with pytest.raises(UserError, match="dimensions"):
        remove_clouds(pixels, Model(), mask=xarray.DataArray(cloud.T, dims=("x", "y")))
    place = dict(y=np.arange(40.0), x=np.arange(50.0))
    image = xarray.DataArray(pixels, dims=("band", "y", "x"), coords=place)
    moved = xarray.DataArray(cloud, dims=("y", "x"), coords=place | dict(x=np.arange(50.0) + 7))
    with pytest.raises(UserError, match="coordinates x are not those of the image"):
        remove_clouds(image, Model(), mask=moved)


def test_scale_and_offset_in_the_attributes_count_as_in_the_file(tmp_path):
    from test_remove_clouds import Model

    from declouds.scenes.api import remove_clouds

    pixels = np.random.default_rng(0).integers(1000, 10000, (2, 40, 50)).astype(np.uint16)
    with rasterio.open(
        tmp_path / "scene.tif", "w", driver="GTiff", width=50, height=40, count=2, dtype="uint16",
        crs="EPSG:32618", transform=STRAIGHT,
    ) as file:  # fmt: skip
        file.offsets = (-1000, -1000)
        file.write(pixels)
    expected = read(remove_clouds(tmp_path / "scene.tif", Model(), output=tmp_path / "o.tif"))
    image = rioxarray.open_rasterio(tmp_path / "scene.tif")
    np.testing.assert_array_equal(remove_clouds(image, Model()), expected)
    with rioxarray.open_rasterio(tmp_path / "scene.tif", mask_and_scale=True) as measured:
        np.testing.assert_allclose(remove_clouds(measured, Model()) + 1000, expected, atol=0.51)
    as_stored = remove_clouds(image, Model(), scale=1)
    np.testing.assert_array_equal(as_stored, remove_clouds(pixels, Model()))
    assert (as_stored.to_numpy() != expected).any()
    image.attrs["scales"] = (1.0, 2.0)
    with pytest.raises(UserError, match="its bands differ in scale and offset"):
        remove_clouds(image, Model())
