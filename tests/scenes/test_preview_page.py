import numpy as np
import pytest
import rasterio
from playwright.sync_api import expect

from declouds.scenes.preview import write_preview

NAME = "<img src=x onerror=document.title='taken'>_and_a_long_word_of_more_than_one_hundred_letters" + 40 * "_x"


@pytest.fixture
def open_preview(open_page, tmp_path):
    """Return a function that opens the preview of a scene of a size, on a screen of a width."""

    def open_preview(height=40, width=60, screen=1280):
        pixels = np.random.default_rng(0).integers(1, 250, (3, height, width), dtype=np.uint8)
        shape = dict(count=3, height=height, width=width, dtype="uint8", crs="EPSG:32618")
        grid = dict(transform=rasterio.Affine(10, 0, 5e5, 0, -10, 5e6))
        for name, values in (("before.tif", pixels), ("after.tif", pixels // 2)):
            with rasterio.open(tmp_path / name, "w", driver="GTiff", **shape, **grid) as file:
                file.write(values)
        html = tmp_path / "preview.html"
        with rasterio.open(tmp_path / "before.tif") as scene:
            facts = {NAME: {NAME: NAME}}
            write_preview(scene, [1, 2, 3], tmp_path / "after.tif", tmp_path / "p.png", html, NAME, facts)
        return open_page(html, width=screen)

    return open_preview


def test_the_line_moves_by_keyboard_and_by_mouse(open_preview):
    page = open_preview()
    stage, slider = page.locator(".stage"), page.get_by_role("slider")
    expect(stage).to_have_css("--at", "50%")
    slider.press("ArrowLeft")
    expect(stage).to_have_css("--at", "49%")
    expect(slider).to_have_attribute("aria-valuetext", "49 % before")
    box = stage.bounding_box()
    stage.click(position={"x": 0.75 * box["width"], "y": 20})
    expect(slider).to_have_value("75")
    expect(slider).to_be_focused()
    stage.drag_to(stage, source_position={"x": 0.75 * box["width"], "y": 20}, target_position={"x": 0.5, "y": 20})
    expect(slider).to_have_value("0")


def test_both_images_are_shown_and_names_are_texts(open_preview):
    page = open_preview()
    assert page.locator("img").evaluate_all("images => images.map(image => image.naturalWidth)") == [60, 60]
    expect(page).to_have_title(f"{NAME}: before and after")
    expect(page.get_by_role("heading", level=1)).to_have_text(NAME)


@pytest.mark.parametrize(("scheme", "colour"), [("dark", "rgb(20, 24, 28)"), ("light", "rgb(255, 255, 255)")])
def test_the_page_follows_the_system(open_preview, scheme, colour):
    page = open_preview()
    page.emulate_media(color_scheme=scheme)
    expect(page.locator("body")).to_have_css("background-color", colour)


@pytest.mark.parametrize("screen", [360, 1280])
@pytest.mark.parametrize("size", [(40, 60), (900, 20), (3, 900)])
def test_neither_the_screen_nor_a_label_is_cut(open_preview, screen, size):
    page = open_preview(*size, screen)
    assert page.evaluate("document.documentElement.scrollWidth") <= screen
    stage = page.locator(".stage").bounding_box()
    before, after = (label.bounding_box() for label in page.locator("figcaption").all())
    middle = stage["x"] + stage["width"] / 2
    assert before["x"] + before["width"] < middle < after["x"]
    assert before["y"] + before["height"] < stage["y"] + stage["height"]
