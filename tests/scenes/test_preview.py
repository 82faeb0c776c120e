import base64
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.enums import ColorInterp
from rasterio.io import MemoryFile

from declouds.errors import UserError
from declouds.scenes.preview import GAP, write_preview

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
RGB = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)


def write(path, pixels, names=(), colours=None, **profile):
    count, height, width = pixels.shape
    profile = {
        "crs": "EPSG:32618",
        "transform": Affine(10, 0, 5e5, 0, -10, 5e6),
        "photometric": "MINISBLACK",
        **profile,
    }
    with rasterio.open(
        path, "w", driver="GTiff", count=count, height=height, width=width, dtype=pixels.dtype, **profile
    ) as file:
        file.write(pixels)
        if names:
            file.descriptions = names
        if colours:
            file.colorinterp = colours
    return path


def random(count, height=20, width=30, dtype="uint8", low=1, high=250):
    return np.random.default_rng(0).integers(low, high, (count, height, width)).astype(dtype)


@pytest.fixture
def look(tmp_path):
    """Write both files and the preview; return the two pictures of the PNG, and the page."""

    def look(before, after, indexes=None, title="scene", summary=None, **kind):
        one, other = write(tmp_path / "before.tif", before, **kind), tmp_path / "after.tif"
        write(other, after, **{**kind, "names": kind.get("names", ())[: len(after)]})
        with rasterio.open(one) as scene:
            indexes = indexes or list(range(1, len(before) + 1))
            write_preview(scene, indexes, other, tmp_path / "p.png", tmp_path / "p.html", title, summary)
        with rasterio.open(tmp_path / "p.png") as file:
            picture = file.read()
        width = (picture.shape[2] - GAP) // 2
        assert not picture[:, :, width : width + GAP].any()
        return picture[..., :width], picture[..., width + GAP :], (tmp_path / "p.html").read_text()

    return look


def stretched(band, by, valid=True):
    low, high = np.percentile(by[valid if valid is not True else ...], (2, 98))
    return np.clip(np.rint((band.astype(float) - low) * 255 / (high - low)), 0, 255)


def same(picture, expected):
    np.testing.assert_allclose(picture, expected, atol=1)  # a half may be rounded up or down


def test_colours_of_8_bits_are_shown_as_they_are(look):
    before, after = random(3), random(3) // 2
    one, other, page = look(before, after, colours=RGB, photometric="RGB")
    np.testing.assert_array_equal(one, [*before, np.full((20, 30), 255)])
    np.testing.assert_array_equal(other[:3], after)
    assert "uint8, as they are" in page


def test_other_values_are_stretched_to_the_range_of_the_result(look):
    after = random(1, dtype="uint16", low=1000, high=3000)
    before = after + np.uint16(900)
    one, other, page = look(before, after)
    for band in range(3):  # grey
        same(other[band], stretched(after[0], after[0]))
        same(one[band], stretched(before[0], after[0]))
    assert "uint16, stretched from the 2nd to the 98th percentile" in page and "band 1, as grey" in page


def test_each_band_is_stretched_by_itself(look):
    after = random(3, dtype="float32", high=100) * np.array([1, 10, 100], "float32")[:, None, None]
    _, other, _ = look(after, after)
    for band in range(3):
        same(other[band], stretched(after[band], after[band]))


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (("Blue", "GREEN", "red", "nir"), (2, 1, 0)),
        (("B02", "B03", "B04", "B08"), (2, 1, 0)),
        (("nir", "swir", "x", "y"), (0, 1, 2)),
        ((), (0, 1, 2)),
    ],
)
def test_bands_that_are_called_red_green_and_blue_are_shown(look, names, shown):
    pixels = random(4, dtype="uint16")
    one, _, page = look(pixels, pixels, names=names)
    for place, band in enumerate(shown):
        same(one[place], stretched(pixels[band], pixels[band]))
    said = ", ".join(names[band] if names else f"band {band + 1}" for band in shown)
    assert f"{said}, as red, green, blue" in page


def test_colour_interpretation_counts_where_there_are_no_names(look):
    pixels = random(4)
    _, other, _ = look(pixels, pixels, colours=(*RGB[::-1], ColorInterp.undefined))
    np.testing.assert_array_equal(other[:3], pixels[[2, 1, 0]])


def test_the_result_may_hold_some_of_the_scenes_bands_in_another_order(look):
    before = random(4, dtype="uint16")
    after = before[[3, 1, 0]]
    one, other, _ = look(before, after, indexes=[4, 2, 1, 3])
    np.testing.assert_array_equal(one, other)


def test_two_bands_make_a_grey_picture(look):
    pixels = random(2, dtype="uint16")
    _, other, _ = look(pixels, pixels)
    same(other[2], stretched(pixels[0], pixels[0]))


def test_pixels_without_data_are_transparent_and_do_not_count(look):
    pixels = random(1, dtype="uint16", low=1000, high=2000)
    pixels[0, :5, :7] = 0
    valid = pixels[0] != 0
    one, other, _ = look(pixels, pixels, nodata=0)
    np.testing.assert_array_equal(one[3], 255 * valid)
    same(other[0][valid], stretched(pixels[0], pixels[0], valid)[valid])


def test_numbers_that_are_none_are_transparent_too(look):
    pixels = random(3, dtype="float32")
    pixels[1, 3, 4], pixels[0, 5, 6] = np.nan, np.inf
    one, other, _ = look(pixels, pixels)
    assert (one[3] == 0).sum() == (other[3] == 0).sum() == 2
    assert one[3, 3, 4] == one[3, 5, 6] == 0


def test_transparency_hides_unless_the_model_took_it_for_an_image_band(look):
    pixels = random(4)
    pixels[3, :10] = 0
    colours = (*RGB, ColorInterp.alpha)
    one, _, _ = look(pixels, pixels, indexes=[1, 2, 3], colours=colours)
    assert (one[3, :10] == 0).all() and (one[3, 10:] == 255).all()
    one, _, _ = look(pixels, pixels, indexes=[1, 2, 3, 4], colours=colours)
    assert (one[3] == 255).all()


@pytest.mark.parametrize("value", [0, 7])
def test_nothing_but_one_value_or_nothing_at_all(look, value):
    pixels = np.full((1, 9, 8), value, np.uint16)
    one, other, _ = look(pixels, pixels, nodata=0)
    assert (other[3] == (0 if value == 0 else 255)).all()
    np.testing.assert_array_equal(one, other)


def test_a_large_scene_is_reduced_by_average(look):
    pixels = np.zeros((1, 300, 2048), np.uint16)
    pixels[:, :, 1024::2], pixels[:, :, 1025::2] = 100, 200  # 150, beside 0
    one, other, page = look(pixels, pixels)
    assert one.shape == other.shape == (4, 150, 1024)
    assert (other[:3, :, 512:] == 255).all() and (other[:3, :, :512] == 0).all()
    assert "2048 x 300 pixels" in page and "to 1024 x 150 pixels, by average" in page


def test_a_line_of_pixels(look):
    one, _, _ = look(random(3, 2500, 1), random(3, 2500, 1))
    assert one.shape == (4, 1024, 1)


class Page(HTMLParser):
    """What a page refers to, and its text."""

    def __init__(self, text):
        super().__init__()
        self.links, self.text, self.open = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.links += [value for key, value in attributes if key in ("src", "href", "data", "action", "srcset")]
        if tag not in ("meta", "img", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data.strip())


def test_the_page_is_whole_and_asks_for_nothing(look):
    before, after = random(3), random(3) // 2
    one, other, text = look(before, after, colours=RGB, photometric="RGB")
    page = Page(text)
    assert page.open == []
    assert len(page.links) == 2
    for link, expected in zip(page.links, (one, other), strict=True):
        kind, content = link.split(",")
        assert kind == "data:image/png;base64"
        with MemoryFile(base64.b64decode(content)) as memory, memory.open() as file:
            np.testing.assert_array_equal(file.read(), expected)
    assert not re.search(r"https?:|//[a-z]|@import|url\(", re.sub(r"base64,[^\"]*", "", text))
    assert "default-src 'none'" in text and "prefers-color-scheme: dark" in text
    assert '<input type="range"' in text  # what the keyboard moves
    assert not re.search(r"\$[a-z]", text)


def test_the_caption(look):
    summary = dict(
        declouds="1.2.3",
        source=dict(name="told already"),
        model=dict(sha256="ab12"),
        settings=dict(seed=5, mask=None, bands=["B04", "B03"]),
        pixels=dict(valid=600, cloud=150),
        seconds=1234.5,
    )
    _, _, text = look(random(3), random(3), title="T31UFS", summary=summary)
    told = [part for part in Page(text).text if part]
    for name, value in {
        "size": "30 x 20 pixels", "CRS": "EPSG:32618", "pixel": "10 x 10 metre", "sha256": "ab12", "seed": "5",
        "bands": "['B04', 'B03']", "valid": "600 (100 %)", "cloud": "150 (25 %)", "seconds": "1234.5",
        "declouds": "1.2.3",
    }.items():  # fmt: skip
        assert told[told.index(name) + 1] == value
    assert "mask" not in told and "told already" not in text
    assert told.count("T31UFS") == 1


@pytest.mark.parametrize(
    "name", ['<script>alert("x")</script>', "a & b", '" onload="x', "$title ${width} $$", "日本 é"]
)
def test_names_of_any_kind(look, name):
    _, _, text = look(random(1), random(1), title=name, summary={name: {name: name}}, names=(name,))
    page = Page(text)
    assert page.open == [] and text.count("<script>") == 1
    assert page.text.count(name) == 4  # the heading, and the group, the name and the value of a figure
    assert f"{name}: before and after" in page.text and f"{name}, as grey" in page.text


@pytest.mark.parametrize(
    ("crs", "said"),
    [(None, None), ("+proj=laea +lat_0=52 +lon_0=10 +ellps=GRS80 +units=m", "unknown"), ("EPSG:4326", "degrees")],
)
def test_other_grids(look, crs, said):
    _, _, text = look(random(1), random(1), crs=crs)
    assert ("CRS" in Page(text).text) is (crs is not None)
    assert said is None or said in text


def test_existing_files_are_replaced_and_nothing_else_is_left(look, tmp_path):
    look(random(1), random(1))
    look(random(3), random(3))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["after.tif", "before.tif", "p.html", "p.png"]


def test_a_damaged_result_is_named(look, tmp_path):
    look(random(1, 300, 300), random(1, 300, 300))
    after = tmp_path / "after.tif"
    after.write_bytes(after.read_bytes()[:-40_000])
    (tmp_path / "p.png").unlink()
    with rasterio.open(tmp_path / "before.tif") as scene, pytest.raises(UserError, match=r"after\.tif: no preview"):
        write_preview(scene, [1], after, tmp_path / "p.png", tmp_path / "q.html", "title")
    assert not (tmp_path / "p.png").exists() and not (tmp_path / "q.html").exists()


def test_a_folder_that_is_not_there(tmp_path):
    path = write(tmp_path / "a.tif", random(1))
    with rasterio.open(path) as scene, pytest.raises(UserError, match="cannot be written"):
        write_preview(scene, [1], path, tmp_path / "no" / "p.png", tmp_path / "p.html", "title")
