"""Bands beside red, green and blue in scenes of any units: cleared where a thin veil tells how, else left and said."""

import json
from dataclasses import replace

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from clearing import remover

from declouds.cli import main
from declouds.errors import UserError
from declouds.scenes import clear
from declouds.scenes.options import SceneOptions
from declouds.scenes.sampling.passes import whole_passes
from declouds.scenes.sampling.thin_veil import AIRLIGHT
from declouds.simulation.cloud_colour import cloud_reflectance
from declouds.simulation.thin_cloud import transmission, veil
from declouds.wavelengths import SENTINEL2, wavelengths_of

COLOURS = ("red", "green", "blue")
NAMES = tuple(name.upper() for name in SENTINEL2)
BANDS = tuple(SENTINEL2.values())
DEPTH, EXPONENT, SIZE = 0.5, 0.9, (80, 100)
CLOUD = np.zeros(SIZE, bool)
CLOUD[10:60, 20:90] = True
GRID = dict(crs="EPSG:32633", transform=Affine(10, 1, 5e5, 1, -10, 5e6))


def ground(bands):
    return np.random.default_rng(0).uniform(0.05, 0.3, (bands, *SIZE))


def scene(path, wavelengths=BANDS, names=NAMES, depth=DEPTH, nodata=0, **more):
    """Write a scene with a veil over its cloud, and return it with its ground, both as stored."""
    clear, thickness = ground(len(wavelengths)), np.where(CLOUD, depth, 0)
    light = AIRLIGHT * cloud_reflectance(wavelengths, ice=0)
    values = [
        np.rint(1e4 * image).astype("uint16") for image in (veil(clear, thickness, wavelengths, EXPONENT, light), clear)
    ]
    profile = dict(driver="GTiff", count=len(wavelengths), height=SIZE[0], width=SIZE[1], dtype="uint16")
    with rasterio.open(path, "w", **profile, **GRID, nodata=nodata, **more) as file:
        file.write(values[0])
        file.descriptions = names
    return values


@pytest.fixture
def clouds(tmp_path):
    path = tmp_path / "clouds.tif"
    with rasterio.open(
        path, "w", driver="GTiff", count=1, height=SIZE[0], width=SIZE[1], dtype="uint8", **GRID
    ) as file:
        file.write(CLOUD[None].astype("uint8"))
    return path


def perfect(depth=DEPTH):
    """What lifts that veil from red, green and blue, exactly; model values are 2 * reflectance - 1."""
    colours = wavelengths_of(COLOURS)
    through = torch.from_numpy(transmission(np.full((1, 1), depth), colours, EXPONENT)).float()
    light = 2 * AIRLIGHT - 1
    return lambda cloudy, noise: (cloudy - light * (1 - through)) / through


def clear_by(predict, source, output, **options):
    chosen = remover(predict, bands=3, in_bands=3, value_range=None, band_names=COLOURS)
    return clear.clear_scene(chosen, source, output, SceneOptions(value_range=(0, 10_000), **options))


def read(path):
    with rasterio.open(path) as file:
        return file.read()


@pytest.mark.parametrize("columns", [512, 30])
def test_a_thin_veil_is_lifted_from_all_bands_that_see_the_ground(tmp_path, clouds, monkeypatch, columns):
    monkeypatch.setattr("declouds.scenes.further_bands.COLUMNS", columns)
    cloudy, ground = scene(tmp_path / "i.tif")
    report = clear_by(perfect(), tmp_path / "i.tif", tmp_path / "o.tif", mask=str(clouds), quality=True)
    result = read(tmp_path / "o.tif")
    np.testing.assert_array_equal(result[:, ~CLOUD], cloudy[:, ~CLOUD])
    left = [NAMES.index(name) for name in ("B09", "B10")]
    np.testing.assert_array_equal(result[left], cloudy[left])
    lifted = [place for place in range(13) if place not in left]
    assert np.abs(result[lifted].astype(int) - ground[lifted])[:, CLOUD].max() <= 12
    assert report.further["by_model"] == ["B02", "B03", "B04"] and report.left_out == 0
    assert [*report.further["left"]] == ["B09", "B10"] and len(report.further["by_physics"]) == 8
    assert report.further["share_left"] == 0
    assert json.loads((tmp_path / "o.json").read_text())["bands"] == report.further
    with rasterio.open(tmp_path / "o_quality.tif") as quality:
        assert quality.descriptions == ("further bands left", "changed")
        told = quality.read()
    assert (told[0][CLOUD] == 0).all() and np.isnan(told[0][~CLOUD]).all()
    np.testing.assert_array_equal(told[1], CLOUD)


def test_a_thick_cloud_stays_in_them_and_is_counted(tmp_path, clouds):
    cloudy, _ = scene(tmp_path / "i.tif", depth=1.4)
    report = clear_by(perfect(1.4), tmp_path / "i.tif", tmp_path / "o.tif", mask=str(clouds), quality=True)
    result = read(tmp_path / "o.tif")
    colours = [NAMES.index(name) for name in ("B02", "B03", "B04")]
    others = [place for place in range(13) if place not in colours]
    np.testing.assert_array_equal(result[others], cloudy[others])
    assert (result[colours] != cloudy[colours])[:, CLOUD].any(0).mean() > 0.99
    assert report.further["share_left"] == 1 and report.tally.left_in_further == CLOUD.sum()
    assert (read(tmp_path / "o_quality.tif")[0][CLOUD] == 1).all()


def test_order_and_choice_of_bands(tmp_path, clouds):
    """As they lie in the file; by ``--bands`` as asked, red, green and blue first, and no others."""
    wavelengths, names = wavelengths_of(["nir", "blue", "green", "red"]), ("NIR", "Blue", "Green", "Red")
    _, ground = scene(tmp_path / "i.tif", wavelengths, names)
    clear_by(perfect(), tmp_path / "i.tif", tmp_path / "o.tif", mask=str(clouds))
    clear_by(
        perfect(), tmp_path / "i.tif", tmp_path / "asked.tif", mask=str(clouds), bands=["Red", "Green", "Blue", "NIR"]
    )
    report = clear_by(
        perfect(), tmp_path / "i.tif", tmp_path / "rgb.tif", mask=str(clouds), bands=["Red", "Green", "Blue"]
    )
    result = read(tmp_path / "o.tif")
    assert np.abs(result.astype(int) - ground)[:, CLOUD].max() <= 12
    np.testing.assert_array_equal(read(tmp_path / "asked.tif"), result[[3, 2, 1, 0]])
    np.testing.assert_array_equal(read(tmp_path / "rgb.tif"), result[[3, 2, 1]])
    assert (
        report.further is None
        and report.left_out == 1
        and "bands" not in json.loads((tmp_path / "rgb.json").read_text())
    )
    with rasterio.open(tmp_path / "asked.tif") as file:
        assert file.descriptions == ("Red", "Green", "Blue", "NIR")


def test_bands_without_a_wavelength_or_of_other_units_are_left_and_said(tmp_path, clouds):
    names = (*COLOURS, "nir", "age", None)
    cloudy, _ = scene(tmp_path / "i.tif", wavelengths_of([*COLOURS, "nir", "nir", "nir"]), names)
    with rasterio.open(tmp_path / "i.tif", "r+") as file:
        file.scales = (1, 1, 1, 0.5, 1, 1)
    report = clear_by(perfect(), tmp_path / "i.tif", tmp_path / "o.tif", mask=str(clouds))
    np.testing.assert_array_equal(read(tmp_path / "o.tif")[3:], cloudy[3:])
    assert report.further["by_physics"] == []
    assert report.further["left"] == {
        "nir": "it has another scale or offset than red",
        "age": "its name tells no wavelength",
        "6": "its name tells no wavelength",
    }


def test_more_bands_without_any_name_are_refused(tmp_path):
    scene(tmp_path / "i.tif", names=(None,) * 13)
    with pytest.raises(UserError, match=r"has 13 bands .*choose and order them with --bands"):
        clear_by(perfect(), tmp_path / "i.tif", tmp_path / "o.tif")


def test_pixels_without_data_stay_and_no_pixel_becomes_nodata(tmp_path, clouds):
    cloudy, _ = scene(tmp_path / "i.tif")
    cloudy[:, 20:30, 30:40] = 0
    cloudy[NAMES.index("B08"), 40:45, 50:60] = 0  # in this band alone
    with rasterio.open(tmp_path / "i.tif", "r+") as file:
        file.write(cloudy)
    clear_by(perfect(), tmp_path / "i.tif", tmp_path / "o.tif", mask=str(clouds))
    result = read(tmp_path / "o.tif")
    np.testing.assert_array_equal(result == 0, cloudy == 0)
    assert (result[:, 41, 45] != cloudy[:, 41, 45]).sum() == 11


def test_the_deviation_is_that_of_the_bands_of_the_model(tmp_path, clouds):
    """They lie among the others, in another order than the model's."""
    scene(tmp_path / "i.tif")
    scales = torch.tensor([0.03, 0.02, 0.01])[:, None, None]  # of red, green, blue
    chosen = remover(None, bands=3, in_bands=3, value_range=None, band_names=COLOURS)
    chosen = replace(chosen, passes=whole_passes(lambda cloudy, noise: noise * scales, 3, samples=2))
    options = SceneOptions(mask=str(clouds), samples=2, quality=True)
    clear.clear_scene(chosen, tmp_path / "i.tif", tmp_path / "o.tif", options)
    with rasterio.open(tmp_path / "o_quality.tif") as file:
        of = [f"standard deviation of {name}" for name in ("B02", "B03", "B04")]
        assert file.descriptions == (*of, "further bands left", "changed")
        blue, green, red = np.nanmean(file.read([1, 2, 3]), axis=(1, 2))
    assert green / blue == pytest.approx(2, rel=0.1) and red / blue == pytest.approx(3, rel=0.1)


def test_a_fading_edge_fades_in_all_bands(tmp_path, clouds):
    cloudy, ground = scene(tmp_path / "i.tif")
    clear_by(perfect(), tmp_path / "i.tif", tmp_path / "o.tif", mask=str(clouds), feather=3)
    change = (read(tmp_path / "o.tif").astype(float) - cloudy)[:, 35, 20:24]
    full = (ground.astype(float) - cloudy)[:, 35, 20:24]
    for place in (NAMES.index("B04"), NAMES.index("B08")):
        np.testing.assert_allclose(change[place] / full[place], [0.25, 0.5, 0.75, 1], atol=0.02)


@pytest.mark.parametrize("names", [("B02", "B03", "B04", "B08"), NAMES])
def test_the_command_keeps_grid_type_names_and_nodata(names, tmp_path, clouds, capsys):
    wavelengths = [SENTINEL2[name.lower()] for name in names]
    cloudy, _ = scene(tmp_path / "i.tif", wavelengths, names)
    main(["predict", str(tmp_path / "i.tif"), "-o", str(tmp_path / "o.tif"), "--mask", str(clouds)])
    with rasterio.open(tmp_path / "i.tif") as before, rasterio.open(tmp_path / "o.tif") as after:
        for name in ("count", "shape", "dtypes", "crs", "transform", "nodatavals", "descriptions", "colorinterp"):
            assert getattr(before, name) == getattr(after, name)
        result = after.read()
    np.testing.assert_array_equal(result[:, ~CLOUD], cloudy[:, ~CLOUD])
    nir = names.index("B08")
    assert (result[nir] != cloudy[nir])[CLOUD].any()
    said = capsys.readouterr().out
    assert "bands: B02, B03, B04 are cleared by the model\n" in said and "a thin veil is lifted from " in said
    assert ("left as they are: B09 (at 0.945 micrometres" in said) == (len(names) == 13)
