import logging

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.enums import ColorInterp

from declouds.errors import UserError
from declouds.scenes.rasters.bands import choose_bands, find_bands, plain_name


@pytest.fixture
def scene(tmp_path):
    """Give a maker of open scenes with bands of given names and colours."""
    opened = []

    def make(names, colours=(), dtype="uint16"):
        path = tmp_path / f"{len(opened)}.tif"
        profile = dict(
            driver="GTiff", count=len(names), height=4, width=5, dtype=dtype, transform=Affine(1, 0, 0, 0, -1, 9)
        )
        with rasterio.open(path, "w", crs="EPSG:32633", **profile) as file:
            file.write(np.ones((len(names), 4, 5), dtype))
            file.descriptions = names
            if colours:
                file.colorinterp = [ColorInterp[colour] for colour in colours]
        opened.append(rasterio.open(path))
        return opened[-1]

    yield make
    for file in opened:
        file.close()


S2 = ("B02", "B03", "B04", "B08")


@pytest.mark.parametrize(
    ("asked", "indexes"),
    [
        (["3", "2", "1"], [3, 2, 1]),
        (["B04", "B03", "B02"], [3, 2, 1]),
        (["b4", " B3 ", "b02"], [3, 2, 1]),
        (["4", "B02", "2"], [4, 1, 2]),
    ],
)
def test_bands_that_are_asked_for(scene, asked, indexes):
    assert choose_bands(scene(S2), asked, ("B02", "B03", "B04"), 3, "s.tif") == indexes


@pytest.mark.parametrize(
    ("names", "asked", "message"),
    [
        (
            S2,
            ["B04", "B05", "B02"],
            r"s\.tif: 'B05' is not one of its bands: it has 1 = B02, 2 = B03, 3 = B04, 4 = B08",
        ),
        (S2, ["0", "1", "2"], "'0' is not one of its bands"),
        (S2, ["5", "1", "2"], "'5' is not one of its bands"),
        ((None, None, None), ["red", "1", "2"], "it has 1, 2, 3$"),
        (S2, ["1", "B02", "3"], r"band 1 is listed twice \(1,B02,3\)"),
        (("a", "a", "b"), ["a", "b", "1"], r"'a' could be any of the bands \[1, 2\]"),
        (("2", "1", "b"), ["2", "1", "b"], r"'2' could be any of the bands \[1, 2\]"),
        (S2, ["1", "2"], r"2 bands given .1,2., but the model takes 3 \(r, g, b\): .* 4 = B08"),
        (S2, ["1", "2", "3", "4"], "4 bands given .*, but the model takes 3"),
    ],
)
def test_what_is_asked_for_and_not_there(scene, names, asked, message):
    with pytest.raises(UserError, match=message):
        choose_bands(scene(names), asked, ("r", "g", "b"), 3, "s.tif")


def test_the_models_names_come_first_in_the_models_order(scene):
    file = scene(("B08", "b2", "B04 ", "B03", "SCL"))
    assert choose_bands(file, None, ("B04", "B03", "B02"), 3, "s.tif") == [3, 4, 2]
    assert choose_bands(file, [], ("B04", "B03", "B02", "B08", "SCL"), 5, "s.tif") == [3, 4, 2, 1, 5]


def test_all_bands_in_order_where_no_name_tells_otherwise(scene):
    assert choose_bands(scene((None,) * 3), None, ("red", "green", "blue"), 3, "s.tif") == [1, 2, 3]
    assert choose_bands(scene(("x", "y", "z")), None, ("red", "green", "blue"), 3, "s.tif") == [1, 2, 3]
    assert choose_bands(scene(S2), None, (), 4, "s.tif") == [1, 2, 3, 4]


def test_some_of_the_models_names_are_no_order(scene):
    with pytest.raises(UserError, match=r"s\.tif: lacks the model's band B02: say with --bands .* 3 = B8A"):
        choose_bands(scene(("B04", "B03", "B8A")), None, ("B04", "B03", "B02"), 3, "s.tif")


@pytest.mark.parametrize(
    ("count", "cure"), [(2, "give a file that has them"), (5, "choose and order them with --bands")]
)
def test_another_number_of_bands(scene, count, cure):
    with pytest.raises(
        UserError, match=rf"has {count} bands \(1, 2.*the model takes 3 \(r, g, b\): {cure}, or use a model"
    ):
        choose_bands(scene((None,) * count), None, ("r", "g", "b"), 3, "s.tif")


def test_the_band_for_transparency_is_left_out_where_that_makes_the_number(scene, caplog):
    rgba = ("red", "green", "blue", "alpha")
    with caplog.at_level(logging.WARNING):
        assert choose_bands(scene((None,) * 4, rgba), None, (), 3, "s.tif") == [1, 2, 3]
        assert choose_bands(scene((None,) * 3, ("alpha", "gray", "undefined")), None, (), 2, "s.tif") == [2, 3]
        assert not caplog.records
        assert choose_bands(scene((None,) * 4, rgba, "uint8"), None, (), 4, "s.tif") == [1, 2, 3, 4]
    assert "s.tif: band 4 is marked as transparency; the model takes it for an image band" in caplog.text
    with pytest.raises(UserError, match="has 4 bands"):
        choose_bands(scene((None,) * 4, rgba), None, (), 2, "s.tif")


@pytest.mark.parametrize(
    ("one", "other"), [("B4", "b04"), ("B12", "b12 "), ("band 04", "Band 4"), ("Ä", "ä"), ("B8A", "b08a")]
)
def test_names_of_one_band(one, other):
    assert plain_name(one) == plain_name(other)


@pytest.mark.parametrize(("one", "other"), [("B1", "B10"), ("B10", "B100"), ("B8", "B8A"), ("B0", "B"), ("105", "15")])
def test_names_of_two_bands(one, other):
    assert plain_name(one) != plain_name(other)


@given(st.text())
def test_a_plain_name_stays_as_it_is(name):
    assert plain_name(plain_name(name)) == plain_name(name)


def test_names_of_bands_are_numbers_too(scene):
    assert find_bands(scene(("Ä", "10", "02")), ["10", "02", "1"], "s.tif") == [2, 3, 1]


def test_bands_without_names_are_found_by_their_colours_and_written_as_they_lie(tmp_path):
    """PlanetScope's order is blue, green, red; a model of red, green, blue gets its own order, the file keeps its."""
    from clearing import clear_scene
    from rasterio.enums import ColorInterp

    from declouds.value_range import ValueRange

    pixels = np.random.default_rng(0).integers(50, 100, (3, 40, 50)).astype(np.uint8)
    colours = (ColorInterp.blue, ColorInterp.green, ColorInterp.red)
    with rasterio.open(tmp_path / "i.tif", "w", driver="GTiff", count=3, height=40, width=50, dtype="uint8") as file:
        file.colorinterp = colours
        file.write(pixels)
    shift = torch.tensor([40, 20, 0])[:, None, None] / 127.5  # of red, green, blue
    units = dict(bands=3, in_bands=3, value_range=ValueRange(0, 255), band_names=("red", "green", "blue"))
    clear_scene(lambda cloudy, noise: cloudy + shift, tmp_path / "i.tif", tmp_path / "o.tif", **units)
    with rasterio.open(tmp_path / "o.tif") as file:
        assert file.colorinterp == colours
        np.testing.assert_array_equal(file.read(), pixels + np.array([0, 20, 40], np.uint8)[:, None, None])
