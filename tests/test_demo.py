"""`make demo`: what it shows, with a model that changes nothing, so that every figure is known."""

import re
from pathlib import Path

import numpy as np
import pytest
import rasterio
from playwright.sync_api import expect

from declouds.image_io import image_header, read_image

ROOT = Path(__file__).resolve().parents[1]
MEBIBYTE = 2**20


@pytest.fixture(scope="module")
def demo():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "tools"))
        import demo

        yield demo


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    from declouds.models import build_model
    from declouds.weights.file import save_weights

    config = dict(type="OnePass", reference=dict(type="Identity"), bands=3)
    path = tmp_path_factory.mktemp("weights") / "identity.safetensors"
    save_weights(path, config, build_model(config).state_dict(), {})
    return str(path)


@pytest.fixture(scope="module")
def results(demo, checkpoint, tmp_path_factory):
    """The folder after a run."""
    folder = tmp_path_factory.mktemp("demo") / "demo_output"
    demo.main([str(folder), "--checkpoint", checkpoint])
    return folder


def test_both_images_are_cleared(demo, results):
    with rasterio.open(demo.BAHAMAS) as scene, rasterio.open(results / "bahamas_cleared.tif") as cleared:
        assert (cleared.crs, cleared.transform, cleared.shape) == (scene.crs, scene.transform, scene.shape)
        assert np.array_equal(cleared.read(), scene.read())  # by a model that changes nothing
    cloudy = read_image(results / "aerial_cloudy.png")
    assert np.array_equal(read_image(results / "aerial_cleared.png"), cloudy)
    assert np.abs(cloudy - 255 * demo.clouded_aerial().cloudy).max() <= 0.501  # rounded; the same clouds each time


def test_clouds_hide_half_of_the_light_and_a_little_of_the_ground_wholly(demo):
    thickness = demo.clouded_aerial().thickness
    assert 0.35 < np.exp(-thickness).mean() < 0.65
    assert 0.005 < np.mean(thickness > 3) < 0.05


def test_figures_and_pages_are_named(demo, checkpoint, tmp_path, capsys):
    (tmp_path / "bahamas_cleared.html").write_text("of an earlier run")
    (tmp_path / "notes.txt").write_text("not ours")
    demo.main([str(tmp_path), "--checkpoint", checkpoint])
    demo.main([str(tmp_path), "--checkpoint", checkpoint])  # a second time
    assert (tmp_path / "notes.txt").read_text() == "not ours"
    printed = capsys.readouterr().out
    rows = re.findall(r"^(cloudy|cleared) +([\d.]+) dB +(0\.\d{4})$", printed, re.MULTILINE)
    assert [name for name, *_ in rows] == 2 * ["cloudy", "cleared"]
    assert len({tuple(figures) for _, *figures in rows}) == 1  # nothing was cleared
    truth, cloudy = read_image(demo.AERIAL).astype(float), read_image(tmp_path / "aerial_cloudy.png")
    psnr = 10 * np.log10(255**2 / np.mean((cloudy - truth) ** 2))
    assert float(rows[0][1]) == pytest.approx(psnr, abs=0.006)
    for page in ("bahamas_cleared.html", "aerial_cleared_preview.html"):
        assert (tmp_path / page).as_uri() in printed
        assert "data:image/png;base64," in (tmp_path / page).read_text()


def test_the_picture_is_one_that_a_readme_can_carry(demo, results):
    picture = results / "before_after.jpg"
    header = image_header(picture)
    assert (header.bands, header.width) == (3, demo.WIDTH)
    for shown in (picture, ROOT / "docs" / "img" / "demo.jpg"):
        assert shown.stat().st_size < 400_000
    assert image_header(ROOT / "docs" / "img" / "demo.jpg")[:3] == header[:3]  # made by this command
    pixels = read_image(picture).astype(float)
    before, after = (  # below their labels, in means of 10x10 pixels, which JPEG keeps
        pixels[:, 60:420, left : left + 560].reshape(3, 36, 10, 56, 10).mean(axis=(2, 4)) for left in (20, 623)
    )
    assert np.abs(before - after).mean() < 2
    assert before.std() > 30


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["out", "--picture", "nowhere/a.jpg"], "nowhere is not a folder: create it"),
        (["file"], "file: cannot create this folder (File exists): give another one"),
        (["out", "--checkpoint", "none.safetensors"], "none.safetensors"),
    ],
)
def test_what_cannot_work_is_named_before_anything_is_written(
    demo, checkpoint, tmp_path, capsys, monkeypatch, arguments, message
):
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    with pytest.raises(SystemExit) as stop:
        demo.main(["--checkpoint", checkpoint, *arguments])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["file"]


def test_the_images_are_small_and_say_where_they_are_from(demo):
    notice = (demo.IMAGES / "README.md").read_text()
    for image in (demo.BAHAMAS, demo.AERIAL):
        assert f"`{image.name}`" in notice
        assert image.stat().st_size < MEBIBYTE / 2
    assert {path.name for path in demo.IMAGES.iterdir()} == {demo.BAHAMAS.name, demo.AERIAL.name, "README.md"}


def test_the_pages_of_the_demo_open(results, open_page):
    for name in ("bahamas_cleared.html", "aerial_cleared_preview.html"):
        page = open_page(results / name)
        page.get_by_role("slider").press("ArrowLeft")
        expect(page.locator(".stage")).to_have_css("--at", "49%")
        assert page.locator("img").evaluate_all("images => images.every(image => image.naturalWidth > 500)")
