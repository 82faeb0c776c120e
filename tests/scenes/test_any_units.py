"""Scenes cleared by a model of any units: every pixel comes back in the units of its file."""

import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from clearing import remover
from rasterio.enums import ColorInterp

from declouds.cloud_detectors.bright_white import BrightWhite
from declouds.errors import UserError
from declouds.scenes import clear
from declouds.scenes.array import clear_array
from declouds.scenes.options import SceneOptions
from declouds.scenes.rasters.product_bands import colour_bands
from declouds.value_range import ValueRange

NAMES = ("red", "green", "blue")
GRID = dict(crs="EPSG:32633", transform=Affine(10, 0, 5e5, 0, -10, 5e6))
UNITS = {  # of a reflectance: stored values
    "uint8": (255, 0, np.uint8),
    "float32": (1, 0, np.float32),
    "uint16": (10_000, 0, np.uint16),
    "counts": (36_364, 7273, np.uint16),
}


def reflectance(height=70, width=90):
    """Dark ground, and a grey cloud in rows 10 to 29, columns 20 to 49."""
    pixels = np.random.default_rng(0).uniform(0.01, 0.2, (3, height, width))
    pixels[:, 10:30, 20:50] = np.random.default_rng(1).uniform(0.75, 0.9, (20, 30))
    return pixels


def stored(name, pixels):
    scale, offset, dtype = UNITS[name]
    values = scale * pixels + offset
    return (np.rint(values) if np.issubdtype(dtype, np.integer) else values).astype(dtype)


def write(path, values, names=(), colours=(), **more):
    profile = dict(driver="GTiff", count=len(values), height=values.shape[1], width=values.shape[2])
    with rasterio.open(path, "w", dtype=values.dtype, **profile, **GRID, **more) as file:
        file.write(values)
        if names:
            file.descriptions = names
        if colours:
            file.colorinterp = [ColorInterp[colour] for colour in colours]
    return path


def read(path):
    with rasterio.open(path) as file:
        return file.read()


def darker(cloudy, noise):
    """Half way to the darkest value."""
    return (cloudy - 1) / 2


def clear_any(predict, source, output, **options):
    """Clear a scene by a model of red, green and blue in any units, with the built-in detector."""
    chosen = remover(predict, bands=3, in_bands=3, value_range=None, band_names=NAMES)
    chosen = replace(chosen, detector=BrightWhite(NAMES))
    return clear.clear_scene(chosen, source, output, SceneOptions(**options))


@pytest.mark.parametrize("name", UNITS)
def test_the_cloud_is_cleared_in_the_units_of_the_file_and_the_ground_stays_to_the_bit(name, tmp_path):
    values = stored(name, reflectance())
    report = clear_any(darker, write(tmp_path / "i.tif", values), tmp_path / "o.tif")
    result = read(tmp_path / "o.tif")
    cloud = np.zeros((70, 90), bool)
    cloud[10:30, 20:50] = True
    np.testing.assert_array_equal(result[:, ~cloud], values[:, ~cloud])
    low, high = json.loads((tmp_path / "o.json").read_text())["model"]["value_range"]
    assert report.value_range == f"{low:g} to {high:g}, found in the scene"
    expected = (np.minimum(values[:, cloud], high) + low) / 2
    np.testing.assert_allclose(result[:, cloud], expected, rtol=1e-5, atol=0.51 if name != "float32" else 1e-6)


def test_an_array_gets_the_same_pixels(tmp_path):
    values = stored("uint16", reflectance())
    clear_any(darker, write(tmp_path / "i.tif", values), tmp_path / "o.tif")
    chosen = remover(darker, bands=3, in_bands=3, value_range=None, band_names=NAMES)
    result = clear_array(replace(chosen, detector=BrightWhite(NAMES)), values, SceneOptions())
    np.testing.assert_array_equal(result, read(tmp_path / "o.tif"))


def test_values_out_of_the_range_stay_where_nothing_is_cleared(tmp_path):
    values = stored("uint16", reflectance())
    values[:, 60, 60] = 65_000, 300, 300
    clear_any(darker, write(tmp_path / "i.tif", values), tmp_path / "o.tif")
    assert read(tmp_path / "o.tif")[:, 60, 60].tolist() == [65_000, 300, 300]


def test_mask_none_clears_everything_and_a_given_range_counts(tmp_path):
    values = stored("uint16", reflectance())
    options = dict(mask="none", value_range=(0, 20_000))
    report = clear_any(darker, write(tmp_path / "i.tif", values), tmp_path / "o.tif", **options)
    assert report.mask == "the whole scene" and report.value_range == "0 to 20000, as given"
    np.testing.assert_allclose(read(tmp_path / "o.tif"), values / 2, atol=0.51)


def test_a_scene_without_cloud_says_that_nothing_was_changed(tmp_path, caplog):
    values = stored("uint16", np.random.default_rng(0).uniform(0.01, 0.2, (3, 70, 90)))
    with caplog.at_level(logging.WARNING):
        clear_any(darker, write(tmp_path / "i.tif", values), tmp_path / "o.tif")
    assert "no cloud was found, so no pixel was changed" in caplog.text and "--mask none" in caplog.text
    np.testing.assert_array_equal(read(tmp_path / "o.tif"), values)


def test_a_killed_job_goes_on_with_the_range_that_it_began_with(tmp_path):
    source, tiling = (
        write(tmp_path / "i.tif", stored("counts", reflectance(200))),
        dict(tile=64, overlap=16, mask="none"),
    )
    clear_any(darker, source, tmp_path / "whole.tif", **tiling)
    calls = []

    def stops(cloudy, noise):
        calls.append(0)
        if len(calls) > 4:
            raise KeyboardInterrupt
        return darker(cloudy, noise)

    with pytest.raises(KeyboardInterrupt):
        clear_any(stops, source, tmp_path / "o.tif", **tiling)
    clear_any(darker, source, tmp_path / "o.tif", **tiling)
    assert (tmp_path / "o.tif").read_bytes() == (tmp_path / "whole.tif").read_bytes()


SENTINEL2 = ("B01", "B02", "B03", "B04", "B05", "B08", "B8A")


@pytest.mark.parametrize(
    ("names", "colours", "places"),
    [
        (SENTINEL2, (), (3, 2, 1)),
        (("B2", "B3", "B4", "B12"), (), (2, 1, 0)),
        (("SR_B2", "SR_B3", "SR_B4", "SR_B6"), (), (2, 1, 0)),
        (("Blue", "Green", "Red", "Red Edge", "NIR"), (), (2, 1, 0)),
        (("S2 B04 10m", "S2 B03 10m", "S2 B02 10m", "B08"), (), (0, 1, 2)),
        ((), ("blue", "green", "red", "undefined"), (2, 1, 0)),
    ],
)
def test_red_green_and_blue_are_found_among_more_bands(names, colours, places, tmp_path):
    values = np.concatenate([stored("uint16", reflectance())] * 3)[: len(names or colours)]
    values += np.arange(len(values), dtype=np.uint16)[:, None, None]
    seen = []

    def look(cloudy, noise):
        seen.append(cloudy.clone())
        return cloudy

    report = clear_any(look, write(tmp_path / "i.tif", values, names, colours), tmp_path / "o.tif", mask="none")
    low, high = json.loads((tmp_path / "o.json").read_text())["model"]["value_range"]
    expected = (values[list(places)].astype(float) - low) * 2 / (high - low) - 1
    np.testing.assert_allclose(seen[0][0], np.clip(expected, -1, 1), atol=1e-4)
    assert report.left_out == 0 and len(report.bands) == 3
    assert sorted([*report.further["by_physics"], *report.further["left"]]) == sorted(
        (names[place] if names else str(place + 1)) for place in set(range(len(values))) - {*places}
    )


@pytest.mark.parametrize(
    ("names", "bands", "message"),
    [
        ((), 5, r"has 5 bands .*choose and order them with --bands"),
        (("B1", "B2", "B3", "B4"), 4, r"has 4 bands .*choose and order them with --bands"),
        (("VV", "VH", "VV/VH"), 3, r"band 1 \(VV\) is radar, .*give an optical image"),
        (("Sigma0_VV_db", "Sigma0_VH_db"), 2, r"band 1 \(Sigma0_VV_db\) is radar"),
        (("elevation",), 1, r"band 1 \(elevation\) holds elevations"),
        ((), 1, r"has 1 bands .*give a file that has them, or use a model for 1 bands"),
        ((), 2, r"has 2 bands"),
    ],
)
def test_scenes_that_the_model_is_not_for(names, bands, message, tmp_path):
    values = np.resize(stored("uint16", reflectance()), (bands, 70, 90))
    source = write(tmp_path / "i.tif", values, names)
    with pytest.raises(UserError, match=message):
        clear_any(darker, source, tmp_path / "o.tif")
    assert [path.name for path in tmp_path.iterdir()] == ["i.tif"]


def test_radar_in_decibels_and_complex_numbers(tmp_path):
    decibels = np.random.default_rng(0).normal(-12, 3, (3, 70, 90)).astype(np.float32)
    with pytest.raises(UserError, match="radar in decibels"):
        clear_any(darker, write(tmp_path / "i.tif", decibels), tmp_path / "o.tif")
    with pytest.raises(UserError, match="complex numbers"):
        clear_any(darker, write(tmp_path / "c.tif", decibels.astype(np.complex64)), tmp_path / "o.tif")


@pytest.mark.parametrize("nodata", [0, 9])
def test_nothing_but_nodata_or_one_value(nodata, tmp_path):
    source = write(tmp_path / "i.tif", np.full((3, 70, 90), 9, np.uint16), nodata=nodata)
    with pytest.raises(UserError, match="no pixel with data" if nodata else "nearly constant"):
        clear_any(darker, source, tmp_path / "o.tif")
    assert [path.name for path in tmp_path.iterdir()] == ["i.tif"]


def test_other_models_know_their_units_and_take_no_range(tmp_path):
    source = write(tmp_path / "i.tif", stored("uint8", reflectance()))
    chosen = remover(darker, bands=3, in_bands=3, value_range=ValueRange(0, 255))
    for call in (
        lambda: clear.clear_scene(chosen, source, tmp_path / "o.tif", SceneOptions(value_range=(0, 9))),
        lambda: clear_array(chosen, read(source), SceneOptions(value_range=(0, 9))),
    ):
        with pytest.raises(UserError, match=r"this model knows the units of its images: .*--scale and --offset"):
            call()
    clear.clear_scene(chosen, source, tmp_path / "o.tif", SceneOptions())  # all of it, as ever
    np.testing.assert_allclose(read(tmp_path / "o.tif"), read(source) / 2, atol=0.51)


@pytest.mark.parametrize("wrong", [(9, 0), (0, float("inf")), (1,), "0,1"])
def test_a_range_that_is_none(wrong):
    with pytest.raises(UserError, match=r"value_range = .*: give "):
        SceneOptions(value_range=wrong).check()


@pytest.mark.parametrize(("product", "numbers"), [("LC08_L2SP", (4, 3, 2)), ("LE07_L2SP", (3, 2, 1))])
def test_the_colours_of_a_landsat_product_need_no_bands(product, numbers, tmp_path):
    """Their numbers changed with Landsat 8; the product's units are known, so that 0 is no light."""
    folder = tmp_path / "product"
    folder.mkdir()
    values = stored("counts", reflectance())
    for number in range(1, 8):
        name = f"{product}_005009_20150710_20200908_02_T2_SR_B{number}.TIF"
        write(folder / name, values[:1] + np.uint16(10 * number))
    report = clear_any(darker, folder, tmp_path / "o.tif")
    assert report.bands == [f"SR_B{number}" for number in numbers]
    assert json.loads((tmp_path / "o.json").read_text())["model"]["value_range"][0] == pytest.approx(7272.73)
    assert 0 < report.tally.pixels["cleared"] == 20 * 30


@pytest.mark.parametrize(
    ("product", "numbers", "nir"),
    [("LC08_L2SP", (4, 3, 2), 5), ("LE07_L2SP", (3, 2, 1), 4), ("LC09_L2SP", (4, 3, 2), 6)],
)
def test_further_bands_of_a_landsat_product_are_asked_for(product, numbers, nir, tmp_path):
    """What they are is known by the number of the red one."""
    folder = tmp_path / "product"
    folder.mkdir()
    for number in range(1, 8):
        values = stored("counts", reflectance())
        write(
            folder / f"{product}_005009_20150710_20200908_02_T2_SR_B{number}.TIF", values[:1] + np.uint16(10 * number)
        )
    bands = [f"SR_B{number}" for number in (*numbers, nir)]
    report = clear_any(darker, folder, tmp_path / "o.tif", bands=bands)
    assert report.bands == bands[:3] and report.further["by_physics"] == bands[3:]
    with rasterio.open(tmp_path / "o.tif") as file:
        assert list(file.descriptions) == bands


def test_the_colours_of_other_products(shared):
    assert colour_bands(Path("S2A_MSIL2A_20200101.SAFE")) == ["B04", "B03", "B02"]
    assert colour_bands(Path("scene.tif")) is None
    folder = shared / "data/products/S2A_29RKH_20200219_0_L2A"
    assert colour_bands(folder / f"{folder.name}.json") == ["red", "green", "blue"]
