"""`image.declouds`: on every DataArray, and what a notebook shows of its results."""

import subprocess
import sys
from html import unescape

import numpy as np
import pytest

import declouds
from declouds.errors import UserError
from declouds.models.cloud_remover import CloudRemover

xarray = pytest.importorskip("xarray")
pytest.importorskip("dask")


class Darker(CloudRemover):
    """Halves what is above the lowest value."""

    def __init__(self):
        super().__init__(bands=3, value_range=(0, 255))

    def predict(self, cloudy, noise, *, name=None, variant=None, record=None):
        return (cloudy - 1) / 2


@pytest.fixture
def image():
    pixels = np.random.default_rng(0).integers(1, 255, (3, 40, 60)).astype(np.uint8)
    return xarray.DataArray(pixels, dims=("band", "y", "x"), name="scene", attrs={"_FillValue": 0, "units": "counts"})


@pytest.mark.parametrize("first, second", [("declouds", "xarray"), ("xarray", "declouds")])
def test_it_is_there_whichever_is_imported_first(first, second):
    code = f"import {first}; import importlib.util; importlib.util.find_spec('xarray')\n"  # many packages look only
    code += f"import {second}, sys; print(sys.modules['xarray'].DataArray.declouds.__name__, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["CloudsOfImage", "False"], done.stderr


def test_it_clears_as_remove_clouds_does(image):
    cleared = image.declouds.clear(Darker(), mask="none")
    expected = declouds.remove_clouds(image, Darker(), mask="none")
    xarray.testing.assert_identical(xarray.DataArray(cleared), expected)
    assert (expected != image).any() and isinstance(cleared, xarray.DataArray)


def test_a_notebook_shows_before_and_after_without_the_network(image, tmp_path, open_page):
    image[:, :10] = 0  # no data
    shown = image.declouds.clear(Darker(), mask="none")._repr_html_()
    page = tmp_path / "page.html"
    page.write_text(shown, encoding="utf-8")
    frame = open_page(page).frame_locator("iframe")
    slider = frame.get_by_role("slider")
    slider.focus()
    slider.press("End")
    assert frame.locator(".stage").evaluate("stage => stage.style.getPropertyValue('--at')") == "100%"
    assert "scene" in frame.locator("h1").inner_text()
    assert unescape(shown).count("data:image/png;base64,") == 2 and "counts" in shown  # and what xarray shows


def test_chunks_and_what_is_derived_are_shown_as_xarray_shows_them(image):
    lazy = image.chunk(y=20).declouds.clear(Darker(), mask="none")
    assert lazy.chunks is not None and "<iframe" not in lazy._repr_html_()
    cleared = image.declouds.clear(Darker(), mask="none")
    for derived in (cleared * 1.0, cleared.isel(band=0), cleared.astype("float32")):
        assert "<iframe" not in derived._repr_html_()


def test_one_of_several_times_is_shown_beside_the_result(image):
    times = np.array(["2024-05-01", "2024-05-11"], "datetime64[ns]")
    other = image + np.uint8(1)
    image[:, :8, :8] = 250
    stack = xarray.concat([image, other], xarray.Variable("time", times))
    mask = np.zeros((40, 60), np.uint8)
    mask[:8, :8] = 1
    cleared = stack.declouds.clear(target="2024-05-01", mask=mask, date_masks=[0 * mask], colour="keep")
    np.testing.assert_array_equal(cleared[:, :8, :8], other[:, :8, :8])
    assert cleared.dims == ("band", "y", "x")
    np.testing.assert_array_equal(cleared.cloudy, image)
    assert "<iframe" in cleared._repr_html_()


def test_errors_are_those_of_remove_clouds(image):
    with pytest.raises(UserError, match="tyle"):
        image.declouds.clear(Darker(), tyle=3)
