"""Clouds of arrays, tensors and DataArrays filled from other dates: the same pixels as with files, to the bit."""

import datetime

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from scipy.ndimage import gaussian_filter

from declouds import remove_clouds
from declouds.errors import UserError
from declouds.models.cloud_remover import CloudRemover

GRID = Affine(10, 0, 500_000, 0, -10, 4_650_000)
SIZE = 160
DAYS = ("2020-06-05", "2020-07-15")
TARGET = "2020-06-15"


def land(seed=0):
    noise = np.random.default_rng(seed).standard_normal((3, SIZE, SIZE))
    return np.clip(1200 + 2500 * gaussian_filter(noise, (0, 2, 2)), 300, 2500)


CLOUD = np.zeros((SIZE, SIZE), bool)
CLOUD[50:100, 60:120] = True
OF_DATE = np.zeros_like(CLOUD)  # its cloud reaches into that of the image
OF_DATE[50:75, 60:120] = True


def series(dtype="uint16", shift=(0, 0)):
    """Return the image and its two other dates, the first of them under some cloud and perhaps shifted."""
    image, first, second = land(), np.roll(land() * 1.1 + 60, shift, (1, 2)), land() * 0.9 + 80
    image[:, CLOUD], first[:, OF_DATE] = 7000, 7000
    return [np.rint(values).astype(dtype) for values in (image, first, second)]


def write(path, values, **profile):
    count, height, width = values.shape
    grid = dict(driver="GTiff", crs="EPSG:32633", transform=GRID, dtype=values.dtype, count=count)
    with rasterio.open(path, "w", height=height, width=width, **grid, **profile) as file:
        file.write(values)
    return str(path)


def by_files(folder, arrays, masks=None, nodata=None, **options):
    """Return what the same images give as files."""
    paths = [
        write(folder / f"{day}.tif", values, nodata=nodata) for day, values in zip((TARGET, *DAYS), arrays, strict=True)
    ]
    if masks is not None:
        named = [write(folder / f"mask{n}.tif", mask[None].astype(np.uint8)) for n, mask in enumerate(masks)]
        options |= dict(mask=named[0], date_masks=named[1:])
    remove_clouds(paths[0], dates=paths[1:], output=folder / "clear.tif", **options)
    with rasterio.open(folder / "clear.tif") as file:
        return file.read()


class Halved(CloudRemover):
    """Halves everything."""

    def __init__(self):
        super().__init__(bands=3, value_range=(0, 10000))

    def predict(self, cloudy, noise, *, name=None, variant=None, record=None):
        return (cloudy - 1) / 2


@pytest.mark.parametrize(
    "options",
    [
        {},
        dict(composite="nearest", colour="keep"),
        dict(composite="median"),
        dict(dilate=3, feather=4),
        dict(model=Halved(), mask="auto", tile=64),
    ],
    ids=lambda options: " ".join(options) or "default",
)
def test_arrays_give_what_files_give(tmp_path, options):
    image, *dates = series()
    before = [values.copy() for values in (image, *dates)]
    expected = by_files(tmp_path, (image, *dates), **options)
    assert (expected != image).any(0)[CLOUD].all()
    pairs = list(zip(dates, DAYS, strict=True))
    by_day = {datetime.date.fromisoformat(day): one for one, day in pairs}
    for given in (pairs, by_day):
        result = remove_clouds(image, dates=given, target=TARGET, **options)
        assert result.dtype == image.dtype
        np.testing.assert_array_equal(result, expected)
    for values, kept in zip((image, *dates), before, strict=True):
        np.testing.assert_array_equal(values, kept)
    tensors = [(torch.from_numpy(one), day) for one, day in pairs]
    result = remove_clouds(torch.from_numpy(image), dates=tensors, target=TARGET, **options)
    assert isinstance(result, torch.Tensor)
    np.testing.assert_array_equal(result.numpy(), expected)


def test_the_median_needs_no_days(tmp_path):
    image, *dates = series()
    expected = by_files(tmp_path, (image, *dates), composite="median")
    np.testing.assert_array_equal(remove_clouds(image, dates=dates, composite="median"), expected)


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_shifted_dates_are_moved_as_files_are(tmp_path, dtype, caplog):
    arrays = series(dtype, shift=(3, -2))
    scale = dict(scale=1e-4) if dtype == "float32" else {}
    expected = by_files(tmp_path, arrays, align=True, **scale)
    said = [record.message.split(": lies")[1] for record in caplog.records if ": lies" in record.message]
    caplog.clear()
    result = remove_clouds(
        arrays[0], dates=dict(zip(DAYS, arrays[1:], strict=True)), target=TARGET, align=True, **scale
    )
    np.testing.assert_array_equal(result, expected)
    assert said == [record.message.split(": lies")[1] for record in caplog.records if ": lies" in record.message]
    plain = remove_clouds(arrays[0], dates=dict(zip(DAYS, arrays[1:], strict=True)), target=TARGET, **scale)
    assert (plain != result).any()


@pytest.mark.parametrize("align", [False, True])
@pytest.mark.parametrize("kind", ["all bands", "one band", "nan", "masked", "masked and nodata"])
def test_dates_without_data_in_part(tmp_path, kind, align):
    image, first, second = series("float32" if kind == "nan" else "uint16", shift=(3, -2) if align else (0, 0))
    hole = (slice(None), slice(60, 90), slice(70, 90))
    options, nodata = dict(align=align), None
    if kind == "nan":
        first[hole], options["scale"] = np.nan, 1e-4
    elif kind == "one band":
        first[1, 60:90, 70:90], nodata = 65535, 65535  # outside the range of values, so no band has data there
    else:
        first[hole], nodata = 0, 0
    expected = by_files(tmp_path, (image, first, second), nodata=nodata, **options)
    if kind.startswith("masked"):
        first = np.ma.masked_equal(first, 0)
        nodata = nodata if "nodata" in kind else None
    dates = dict(zip(DAYS, (first, second), strict=True))
    result = remove_clouds(image, dates=dates, target=TARGET, nodata=nodata, **options)
    np.testing.assert_array_equal(result, expected)
    assert (result != image)[:, 76:89, 71:89].all()  # the other date fills it


def test_masks_of_dates(tmp_path):
    image, *dates = series()
    none = np.zeros_like(CLOUD) | (np.arange(SIZE) < 5)
    expected = by_files(tmp_path, (image, *dates), masks=(CLOUD, OF_DATE, none))
    given = dict(dates=list(zip(dates, DAYS, strict=True)), target=TARGET, mask=CLOUD)
    np.testing.assert_array_equal(remove_clouds(image, **given, date_masks=[OF_DATE, none]), expected)
    tensors = [torch.from_numpy(mask) for mask in (OF_DATE, none)]
    np.testing.assert_array_equal(remove_clouds(image, **given, date_masks=tensors), expected)
    with pytest.raises(UserError, match=r"mask is the mask of one date: give .* date_masks=\[...\]"):
        remove_clouds(image, **given)
    with pytest.raises(UserError, match="date_masks: 1 masks for 2 dates: give one for each"):
        remove_clouds(image, **given, date_masks=[none])
    with pytest.raises(UserError, match=r"the mask of the date 2020-06-05: has shape \(5, 5\), the image"):
        remove_clouds(image, **given, date_masks=[none[:5, :5], none])
    with pytest.raises(UserError, match=r"date_masks\[1\]: is a list: give an array"):
        remove_clouds(image, **given, date_masks=[none, none.tolist()])


def stack(names=None):
    """Return a DataArray of three times, and the arrays in it: the image and the two others."""
    xarray = pytest.importorskip("xarray")
    arrays = series()
    rows, cols = GRID.f - 10 * np.arange(SIZE) - 5, GRID.c + 10 * np.arange(SIZE) + 5
    times = np.array([f"{day}T10:30" for day in (DAYS[0], TARGET, DAYS[1])], "datetime64[ns]")
    coords = dict(time=times, y=rows, x=cols) | (dict(band=names) if names else {})
    values = np.stack([arrays[place] for place in (1, 0, 2)])
    return xarray.DataArray(values, dims=("time", "band", "y", "x"), coords=coords, attrs=dict(source="S2")), arrays


def test_one_time_of_a_stack_is_filled_from_the_others(tmp_path):
    images, arrays = stack(["red", "green", "blue"])
    for path in (tmp_path / f"{day}.tif" for day in (TARGET, *DAYS)):
        write(path, arrays[0])  # names of bands come from the files below
    options = dict(detector=dict(type="BrightWhite", band_names=["red", "green", "blue"]))
    expected = by_files(tmp_path, arrays, **options)
    result = remove_clouds(images, target=TARGET)
    assert result.dims == ("band", "y", "x") and result.attrs == images.attrs
    assert result.time == images.time[1]
    np.testing.assert_array_equal(result.values, expected)
    times = images.transpose("band", "y", "x", "time")
    np.testing.assert_array_equal(remove_clouds(times.transpose("time", ...), target=TARGET).values, expected)
    image, *dates = (images.isel(time=place) for place in (1, 0, 2))
    np.testing.assert_array_equal(remove_clouds(image, dates=dates).values, expected)  # each has its own time


def test_a_date_in_its_own_scale(tmp_path):
    """The values of dates go into the units of the image, by the attributes of each."""
    images, arrays = stack()
    image, *dates = (images.isel(time=place) for place in (1, 0, 2))
    image.attrs |= dict(scale_factor=1e-4, add_offset=0.0)
    dates[0] = (dates[0] * 2 + 500).astype(np.uint16).assign_attrs(scale_factor=5e-5, add_offset=-0.025)
    dates[1].attrs |= dict(scale_factor=1e-4, add_offset=0.0)
    result = remove_clouds(image, dates=dates, composite="nearest", colour="keep")
    there = CLOUD & ~OF_DATE
    np.testing.assert_array_equal(result.values[:, there], arrays[1][:, there])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            dict(dates=[(land() / 100, "2020-06-01")]),
            "2020-06-01: its clear pixels .* are in other units than those of the",
        ),
        (
            dict(dates={"2020-06-01": land().astype(np.uint16)[:2]}),
            r"2020-06-01: has shape \(2, 160, 160\), and the image",
        ),
        (dict(dates={"2020-06-01": land().astype(np.uint16)[:, 1:]}), r"has shape \(3, 159, 160\), and the image"),
        (dict(dates={"2020-06-01": land() > 1000}), "integers or floating-point numbers; got bool"),
        (dict(dates={"2020-06-01": (land() / 10).astype(np.uint8)}), "is uint8, and"),
        (
            dict(dates={"2020-06-01": series()[0]}),
            "the date 2020-06-01: has the same pixels as the image: leave it out",
        ),
        (
            dict(dates=[(series()[1], day) for day in DAYS]),
            "the date 2020-07-15: has the same pixels as the date 2020-06-",
        ),
        (dict(dates=series()[1:]), r"dates\[0\]: nothing says when it was taken: give \(image, '2018-06-25'\), or"),
        (dict(dates=[(series()[1], DAYS[0])], target=None), "the image: nothing says when .* give target='2018-07-05'"),
        (dict(dates=[(series()[1], DAYS[0]), series()[2]]), "dates: 1 of 2 are pairs .image, day.: give all"),
        (dict(dates=[torch.zeros(3, 160, 160)]), r"dates\[0\]: is a tensor, and the image a NumPy array: give all"),
        (dict(dates=["other_2020-06-01.tif"]), r"dates\[0\]: is a str, and the image a NumPy array"),
        (dict(dates="other.tif"), "dates = a str: give a list of images"),
        (dict(dates=series()[1]), "dates = a NumPy array: give a list of images"),
        (dict(dates={"June": series()[1]}), "day of the date June = 'June': is no day: write it as '2018-07-05'"),
        (dict(dates={"2020-06-01": series()[1]}, target="5 July"), "'5 July': is no day"),
        (dict(dates=None), "target = '2020-06-15': is the day of an image with other dates"),
        (dict(dates={"2020-06-01": series()[1]}, mask="none"), "give --mask auto"),
        (
            dict(dates={"2020-06-01": np.full((3, SIZE, SIZE), 7000, np.uint16)}),
            "the array: no date is clear where it has",
        ),
    ],
)
def test_bad_dates_are_refused(change, message):
    with pytest.raises(UserError, match=message) as caught:
        remove_clouds(series()[0], **dict(target=TARGET) | change)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda images: dict(), "has a dimension time: say which day is to be cleared, target='2018-07-05'"),
        (lambda images: dict(target="2020-06-16"), "no time is of that day: there are 2020-06-05, 2020-06-15, 2020-07"),
        (lambda images: dict(target=TARGET, dates=[images[0]]), "the image has a dimension time.* leave dates out"),
        (lambda images: dict(target=TARGET, image=images[1:2]), "it is the only time"),
        (lambda images: dict(target=TARGET, image=images[[1, 1, 0]]), "2 times are of that day"),
        (lambda images: dict(target=TARGET, image=images.drop_vars("time")), "dimension time has no coordinate"),
        (
            lambda images: dict(image=images[1], dates=[images[0].assign_coords(x=images.x + 30)]),
            r"dates\[0\]: its coordinates x are not those of the image",
        ),
        (lambda images: dict(image=images[1], dates=[images[0].values]), "is a NumPy array, and the image a DataArray"),
        (
            lambda images: dict(image=images[1], dates={"2020-01-01": images[0]}),
            "the date 2020-01-01: its time is 2020-06-05, and 2020-01-01 is given",
        ),
    ],
)
def test_bad_stacks_are_refused(change, message):
    images, _ = stack()
    with pytest.raises(UserError, match=message):
        remove_clouds(**dict(image=images) | change(images))


def test_a_path_takes_paths(tmp_path):
    image, *dates = series()
    path = write(tmp_path / f"{TARGET}.tif", image)
    with pytest.raises(UserError, match=r"dates = \[array.*give a list of paths") as caught:
        remove_clouds(path, dates=dates, output=tmp_path / "o.tif")
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="target = '2020-06-15': is for images in memory"):
        remove_clouds(path, target=TARGET, output=tmp_path / "o.tif")


@pytest.mark.parametrize(
    ("target", "others"),
    [("2018-07-05", ("2018-05-31", "2018-08-09")), ("2018-09-18", ("2018-08-09", "2018-10-23"))],
)
def test_real_dates(shared, tmp_path, target, others):
    folder = shared / "data" / "s2_timeseries"
    if not folder.is_dir():
        pytest.skip("no time series")
    files = [folder / f"{day}.tif" for day in (target, *others)]
    bands = "B01 B02 B03 B04 B05 B06 B07 B08 B8A B09 B10 B11 B12".split()
    options = dict(detector=dict(type="CloudScore", band_names=bands), dilate=4)
    remove_clouds(files[0], dates=list(map(str, files[1:])), output=tmp_path / "clear.tif", **options)
    arrays = []
    for file in (*files, tmp_path / "clear.tif"):
        with rasterio.open(file) as opened:
            arrays.append(opened.read())
    image, first, second, expected = arrays
    result = remove_clouds(image, dates=dict(zip(others, (first, second), strict=True)), target=target, **options)
    np.testing.assert_array_equal(result, expected)
    assert 0.05 < (result != image).any(0).mean() < 0.95
