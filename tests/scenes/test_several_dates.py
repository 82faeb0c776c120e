"""Clouds filled from other dates: on any grid, with and without a network, and what is refused."""

import json
import re
import shutil

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from rasterio.enums import Resampling
from rasterio.warp import reproject
from scipy.ndimage import gaussian_filter

from declouds import remove_clouds
from declouds.cli import main
from declouds.errors import UserError
from declouds.models.cloud_remover import CloudRemover
from declouds.scenes.rasters.date_file import day_of, split_date

GRID = Affine(10, 0, 500_000, 0, -10, 4_650_000)
NAMES = ("red", "green", "blue")
SIZE = 160


def land(seed=0, size=SIZE):
    """Return ground that every date shares, dark enough to be no cloud."""
    noise = np.random.default_rng(seed).standard_normal((3, size, size))
    return np.clip(1200 + 2500 * gaussian_filter(noise, (0, 2, 2)), 300, 2500)


def write(path, values, transform=GRID, crs="EPSG:32633", dtype="uint16", names=NAMES, **profile):
    bands, height, width = values.shape
    profile = dict(driver="GTiff", crs=crs, transform=transform, dtype=dtype, **profile)
    with rasterio.open(path, "w", height=height, width=width, count=bands, **profile) as file:
        file.write(np.rint(values).astype(dtype) if dtype != "float32" else values.astype(dtype))
        file.descriptions = names
    return path


def read(path):
    with rasterio.open(path) as file:
        return file.read()


@pytest.fixture
def target(tmp_path):
    """A scene under a square of cloud."""
    values = land()
    values[:, 50:100, 60:120] = 7000
    return write(tmp_path / "scene_2020-06-15.tif", values)


CLOUD = np.zeros((SIZE, SIZE), bool)
CLOUD[50:100, 60:120] = True


def dated(tmp_path, day, values=None, **options):
    return write(tmp_path / f"other_{day}.tif", land() if values is None else values, **options)


def fill(target, *dates, **options):
    """Fill a scene, and return the result and the summary."""
    output = target.with_name("filled.tif")
    remove_clouds(target, output=output, dates=[str(date) for date in dates], mask="auto", **options)
    return read(output), json.loads(output.with_suffix(".json").read_text())


def test_clouds_are_filled_and_clear_pixels_stay_to_the_bit(tmp_path, target):
    brighter = dated(tmp_path, "2020-06-01", land() * 1.1 + 60)
    result, summary = fill(target, brighter)
    assert np.array_equal(result[:, ~CLOUD], read(target)[:, ~CLOUD])
    unmatched = np.abs(land() * 0.1 + 60)[:, CLOUD].mean()
    assert np.abs(result - land())[:, CLOUD].mean() < 0.3 * unmatched
    assert summary["pixels"]["filled"] == CLOUD.sum() and summary["pixels"]["left"] == 0
    assert summary["dates"][0]["day"] == "2020-06-01"


def test_the_nearest_clear_date_is_taken(tmp_path, target):
    near, far = land() + 40, land() + 90
    near[:, 50:75, 60:120] = 7000
    dates = dated(tmp_path, "2020-06-14", near), dated(tmp_path, "2020-08-14", far)
    result, _ = fill(target, *dates, composite="nearest", colour="keep")
    assert np.array_equal(result[:, 75:100, 60:120], read(dates[0])[:, 75:100, 60:120])
    assert np.array_equal(result[:, 50:75, 60:120], read(dates[1])[:, 50:75, 60:120])


def test_linear_in_time_and_median(tmp_path, target):
    dates = dated(tmp_path, "2020-06-05", land() + 30), dated(tmp_path, "2020-07-15", land() + 80)
    result, _ = fill(target, *dates, colour="keep")
    assert (result - land())[:, CLOUD].mean() == pytest.approx(30 + 50 * 10 / 40, abs=1)
    result, _ = fill(target, *dates, colour="keep", composite="median", overwrite=True)
    assert (result - land())[:, CLOUD].mean() == pytest.approx(55, abs=1)


def test_what_no_date_shows_is_left_and_counted(tmp_path, target):
    other = land()
    other[:, 50:75, 60:120] = 7000
    result, summary = fill(target, dated(tmp_path, "2020-06-14", other))
    assert np.array_equal(result[:, 50:75, 60:120], read(target)[:, 50:75, 60:120])
    assert summary["pixels"]["left"] == 25 * 60
    assert summary["pixels"]["filled"] == summary["pixels"]["cleared"] == 25 * 60


class Constant(CloudRemover):
    """Makes everything 5000."""

    def __init__(self):
        super().__init__(bands=3, value_range=(0, 10000), band_names=NAMES)

    def predict(self, cloudy, noise, *, name=None, variant=None, record=None):
        return torch.zeros_like(cloudy)


def test_a_network_clears_what_no_date_shows(tmp_path, target):
    other = land()
    other[:, 50:75, 60:120] = 7000
    result, summary = fill(target, dated(tmp_path, "2020-06-14", other), model=Constant(), colour="keep", tile=64)
    assert (result[:, 50:75, 60:120] == 5000).all()
    assert np.array_equal(result[:, 75:100, 60:120], np.rint(land())[:, 75:100, 60:120])
    assert np.array_equal(result[:, ~CLOUD], read(target)[:, ~CLOUD])
    assert summary["pixels"]["cleared"] == CLOUD.sum()


def test_dates_keep_their_values_beside_a_model_of_any_units(tmp_path, target):
    """Each scene alone would have a range of its own, by its brightest pixels."""
    bright = land()
    bright[:, :30] = 12000
    model = Constant()
    model.any_units = True
    options = dict(model=model, colour="keep", detector="BrightWhite", value_range=(0, 10000))
    result, _ = fill(target, dated(tmp_path, "2020-06-14", bright), **options)
    assert np.array_equal(result[:, CLOUD], np.rint(land())[:, CLOUD])


def test_a_date_of_another_grid_and_projection(tmp_path, target):
    grid = Affine(0.0002, 0, 14.995, 0, -0.0002, 42.006)
    wide = land(size=SIZE)
    values = np.zeros((3, 200, 200))
    reproject(
        *(wide, values),
        **dict(src_transform=GRID, src_crs="EPSG:32633", dst_transform=grid, dst_crs="EPSG:4326"),
        resampling=Resampling.bilinear,
    )
    other = write(tmp_path / "o_20200601.tif", values, grid, "EPSG:4326", nodata=0)
    result, _ = fill(target, other, colour="keep")
    filled = (result != read(target)).any(0)
    assert filled[CLOUD].mean() > 0.99
    error = np.abs(result - land())[:, CLOUD].mean()
    assert error < 0.25 * np.abs(land() - land().mean((1, 2), keepdims=True)).mean()


def test_part_of_the_place_is_filled_in_part(tmp_path, target):
    half = dated(tmp_path, "2020-06-01", land()[:, :75])
    _, summary = fill(target, half)
    assert summary["pixels"]["filled"] == 25 * 60 and summary["pixels"]["left"] == 25 * 60


def test_a_shift_is_reported_and_corrected(tmp_path, target, caplog):
    shifted = dated(tmp_path, "2020-06-01", np.roll(land(), (3, -2), (1, 2)))
    plain, _ = fill(target, shifted, colour="keep")
    assert "3.0 rows and -2.0 columns beside the scene: correct it with --align" in caplog.text
    aligned, summary = fill(target, shifted, colour="keep", align=True, overwrite=True)
    assert summary["dates"][0]["shift"] == pytest.approx([3, -2], abs=0.2)
    wrong, right = (np.abs(result - land())[:, CLOUD].mean() for result in (plain, aligned))
    assert right < 0.2 * wrong


def test_masks_from_files(tmp_path, target):
    masks = [
        write(tmp_path / f"{name}.tif", found[None], names=("cloud",), dtype="uint8")
        for name, found in (("mask", CLOUD), ("none", np.zeros_like(CLOUD) | (np.arange(SIZE) < 5)))
    ]
    other = dated(tmp_path, "2020-06-01")
    output = tmp_path / "filled.tif"
    options = dict(output=output, dates=[str(other)], mask=masks[0])
    with pytest.raises(UserError, match="one --date-mask FILE for each --date"):
        remove_clouds(target, **options)
    remove_clouds(target, **options, date_masks=[str(masks[1])], colour="keep")
    assert np.array_equal(read(output), np.where(CLOUD, np.rint(land()), read(target)))


def test_the_result_does_not_depend_on_blocks(tmp_path, target, monkeypatch):
    dates = dated(tmp_path, "2020-06-05", land() + 30), dated(tmp_path, "2020-07-15", land() + 80)
    whole, _ = fill(target, *dates)
    monkeypatch.setattr("declouds.scenes.dates.BLOCK", 48)
    parts, _ = fill(target, *dates, overwrite=True)
    assert np.array_equal(whole, parts)


def test_the_command_needs_no_weights(tmp_path, target, capsys):
    output = tmp_path / "filled.tif"
    main(["predict", str(target), "--date", f"{dated(tmp_path, 'x')}@2020-06-01", "-o", str(output), "--mask", "auto"])
    assert "3000 cloud pixels filled from 1 dates" in capsys.readouterr().out
    assert (read(output)[:, CLOUD] < 3000).all()


def no_overlap(folder):
    return [dated(folder, "2020-06-01", transform=GRID * Affine.translation(5000, 0))]


def other_bands(folder):
    return [dated(folder, "2020-06-01", land()[:2], names=("red", "green"))]


def other_units(folder):
    return [dated(folder, "2020-06-01", land() / 100)]


def eight_bits(folder):
    return [dated(folder, "2020-06-01", land() / 10, dtype="uint8")]


def all_cloudy(folder):
    return [dated(folder, "2020-06-01", np.full((3, SIZE, SIZE), 7000))]


def itself(folder):
    return [folder / "scene_2020-06-15.tif"]


def a_copy(folder):
    return [shutil.copy(folder / "scene_2020-06-15.tif", folder / "copy_2020-06-01.tif")]


def twice(folder):
    return [dated(folder, "2020-06-01")] * 2


def without_a_day(folder):
    return [dated(folder, "someday")]


def missing(folder):
    return [folder / "none.tif"]


@pytest.mark.parametrize(
    ("dates", "message"),
    [
        (no_overlap, "does not overlap the scene .* is it the date of another scene"),
        (other_bands, "other_2020-06-01.tif: .*band"),
        (other_units, "other units than those of the scene .*convert it"),
        (eight_bits, "is uint8, and"),
        (all_cloudy, "no date is clear where it has clouds: give other dates"),
        (itself, "is the scene itself: leave it out of --date"),
        (a_copy, "no date is clear|holds the pixels of the scene itself"),
        (twice, "named twice: leave one out"),
        (without_a_day, "say it .--date .*@2018-06-25"),
        (missing, "none.tif: no such file"),
    ],
)
def test_bad_dates_are_refused_and_nothing_is_written(tmp_path, target, dates, message):
    others = dates(tmp_path)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(UserError, match=message):
        fill(target, *others)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(mask="none"), "give --mask auto"),
        (dict(composite="mean"), "choose one of linear, nearest, median"),
        (dict(dates=None, model=Constant(), align=True), "give --date too"),
        (dict(quality=True), "--quality is of a network"),
    ],
)
def test_choices_that_do_not_go_together(tmp_path, target, options, message):
    given = dict(dates=[str(dated(tmp_path, "2020-06-01"))], mask="auto") | options
    with pytest.raises(UserError, match=message):
        remove_clouds(target, output=tmp_path / "filled.tif", **given)


@pytest.mark.parametrize(
    ("name", "day"),
    [
        ("2018-07-05.tif", "2018-07-05"),
        ("S2A_MSIL2A_20200219T061831_N0214.tif", "2020-02-19"),
        ("LC08_L2SP_047027_20201204_20210313_02_T1.tif", "2020-12-04"),
        ("tile_1234567890.tif", "None"),
    ],
)
def test_days_by_name(tmp_path, name, day):
    path = write(tmp_path / name, land(size=16))
    with rasterio.open(path) as file:
        assert str(day_of(file, path)) == day


def test_days_by_tags_and_by_hand(tmp_path):
    path = write(tmp_path / "x.tif", land(size=16))
    with rasterio.open(path, "r+") as file:
        file.update_tags(TIFFTAG_DATETIME="2019:03:04 10:00:00")
    with rasterio.open(path) as file:
        assert str(day_of(file, path)) == "2019-03-04"
    assert [str(part) for part in split_date("a@b.tif@2018-06-25")] == ["a@b.tif", "2018-06-25"]
    with pytest.raises(UserError, match="is no date"):
        split_date("x.tif@2018-02-30")


def test_real_dates(shared, tmp_path):
    """Two other dates fill a real scene better than its clear pixels do, and its clouds are gone."""
    series = shared / "data" / "s2_timeseries"
    if not series.is_dir():
        pytest.skip("no time series")
    names = ("2018-07-05", "2018-05-31", "2018-08-09", "2018-06-25", "2018-07-20")
    images = {name: read(series / f"{name}.tif").astype(float) for name in names}
    truth = (images["2018-06-25"] + images["2018-07-20"]) / 2
    cloud = np.abs(images["2018-07-05"] - truth)[1:4].max(0) > 400
    masks = []
    for name, found in (("cloud", cloud), ("none", np.zeros_like(cloud))):
        masks.append(tmp_path / f"{name}.tif")
        with rasterio.open(series / "2018-07-05.tif") as file:
            profile = file.profile | dict(count=1, dtype="uint8", photometric="minisblack")
        with rasterio.open(masks[-1], "w", **profile) as file:
            file.write(found.astype(np.uint8)[None])
    output = tmp_path / "filled.tif"
    remove_clouds(
        series / "2018-07-05.tif",
        **dict(output=output, dates=[str(series / f"{name}.tif") for name in names[1:3]], mask=masks[0]),
        date_masks=[str(masks[1])] * 2,
    )
    error = np.mean((read(output) - truth)[:, cloud] ** 2)
    assert 10 * np.log10(1e8 / error) > 29.2
    assert np.array_equal(read(output)[:, ~cloud], images["2018-07-05"][:, ~cloud])


def test_a_folder_of_dates_and_the_day_of_the_target(tmp_path, target, capsys):
    folder = tmp_path / "dates"
    folder.mkdir()
    dates = [shutil.copy(dated(tmp_path, day), folder) for day in ("2020-06-01", "2020-07-01")]
    shutil.copy(target, folder)
    output = tmp_path / "clear.tif"
    main(["predict", str(folder), "--target", "2020-06-15", "-o", str(output), "--mask", "auto"])
    assert "filled from 2 dates" in capsys.readouterr().out
    main(
        ["predict", str(target), *(flag for date in dates for flag in ("--date", date)), "-o", str(tmp_path / "b.tif")]
    )
    assert np.array_equal(read(output), read(tmp_path / "b.tif"))


@pytest.mark.parametrize(
    ("day", "message"),
    [
        ("5 July", "--target 5 July: is no day: write it as 2018-07-05"),
        ("2020-06-16", "no scene of that day: there are 2020-06-01, 2020-06-15"),
        ("2020-06-01", "2 scenes, .*of that day"),
    ],
)
def test_a_target_that_cannot_be_found(tmp_path, target, day, message, capsys):
    dated(tmp_path, "2020-06-01")
    if "2 scenes" in message:
        shutil.copy(target, tmp_path / "again_2020-06-01.tif")
    with pytest.raises(SystemExit):
        main(["predict", str(tmp_path), "--target", day, "-o", str(tmp_path / "clear.out")])
    assert re.search(message, capsys.readouterr().err)
    assert not (tmp_path / "clear.out").exists()


def test_a_series_of_one_or_without_days(tmp_path, target, capsys):
    for prepare, message in (
        (lambda: None, "is the only scene: give the folder of all dates"),
        (lambda: write(tmp_path / "other.tif", land()), "neither its tags nor its name say when it was taken"),
    ):
        prepare()
        with pytest.raises(SystemExit):
            main(["predict", str(tmp_path), "--target", "2020-06-15", "-o", str(tmp_path / "clear.out")])
        assert message in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["predict", str(tmp_path), "--target", "2020-06-15", "--date", "x.tif", "-o", str(tmp_path / "clear.out")])
    assert "omit --date" in capsys.readouterr().err
