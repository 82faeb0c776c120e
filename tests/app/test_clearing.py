import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio

import declouds
from declouds.app.asked import Asked
from declouds.app.clearing import clear
from declouds.errors import UserError

BAHAMAS = Path(__file__).parents[2] / "tools" / "demo_images" / "bahamas.tif"


@pytest.fixture
def clear_upload(tmp_path):
    """Return a function that clears an upload, a crop of a real scene, as asked."""
    uploads, job = tmp_path / "uploads", tmp_path / "job"
    uploads.mkdir()
    job.mkdir()
    window = rasterio.windows.Window(0, 0, 96, 80)
    with rasterio.open(BAHAMAS) as file:
        values, profile = file.read(window=window), file.profile | dict(height=80, width=96)
    cloud = (values.min(axis=0) > 120).astype(np.uint8)
    for name, bands in (("scene_2020-01-05.tif", values), ("date_2020-01-10.tif", values // 2), ("mask.tif", cloud)):
        kind, bands = ("rgb", bands) if bands.ndim == 3 else ("minisblack", bands[None])
        with rasterio.open(uploads / name, "w", **profile | dict(count=len(bands), photometric=kind)) as file:
            file.write(bands)

    def clear_upload(**asked):
        paths = {name: uploads / asked[name] for name in ("scene", "mask") if name in asked}
        dates = [uploads / name for name in asked.pop("dates", ())]
        return clear(Asked(**asked | paths | dict(dates=dates)), uploads, job, "cpu", lambda *_: None)

    return clear_upload


def test_a_mask_of_the_user_decides_what_is_cleared(clear_upload, tmp_path):
    cleared = clear_upload(scene="scene_2020-01-05.tif", clouds="file", mask="mask.tif", quality=True)
    result, clouds = cleared.files[:2]
    declouds.remove_clouds(
        tmp_path / "uploads" / "scene_2020-01-05.tif", output=tmp_path / "a.tif", mask=tmp_path / "uploads" / "mask.tif"
    )
    with rasterio.open(result) as one, rasterio.open(tmp_path / "a.tif") as other:
        assert (one.read() == other.read()).all()
    with rasterio.open(clouds) as one, rasterio.open(tmp_path / "uploads" / "mask.tif") as other:
        assert (one.read() == other.read()).all() and one.read().any()
    assert "by mask.tif (1" in cleared.facts["clouds"]
    assert [path.name for path in cleared.files] == [
        *("scene_2020-01-05_clear.tif", "scene_2020-01-05_clouds.tif", "scene_2020-01-05_clear.json"),
        *("scene_2020-01-05_clear_quality.tif", "scene_2020-01-05_clear.png", "scene_2020-01-05_clear.html"),
    ]
    with rasterio.open(cleared.before) as one, rasterio.open(tmp_path / "uploads" / "scene_2020-01-05.tif") as other:
        assert (one.read()[:3] == other.read()).all()


def test_other_dates_alone_fill_the_clouds(clear_upload):
    cleared = clear_upload(scene="scene_2020-01-05.tif", dates=["date_2020-01-10.tif"], alone=True)
    assert "model" not in cleared.facts and "filled from 1;" in cleared.facts["dates"]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({}, "no scene yet: drop"),
        (dict(clouds="scl"), "no cloud mask yet: drop"),
        (dict(clouds="none", dates=["date_2020-01-10.tif"]), "other dates need the clouds of each of them"),
        (dict(alone=True), "no other dates yet: drop"),
        (dict(samples=3, quality=True), "this model draws no noise"),
        (dict(bands=["1", "2", "9"]), "scene_2020-01-05.tif: "),
        (dict(clouds="qa_pixel", mask="date_2020-01-10.tif"), "date_2020-01-10.tif: has 3 bands"),
    ],
)
def test_what_goes_wrong_names_no_path_of_the_machine(clear_upload, tmp_path, asked, message):
    with pytest.raises(UserError, match=f"^{message}") as found:
        clear_upload(**(dict(scene="scene_2020-01-05.tif") | asked if asked else {}))
    assert str(tmp_path) not in str(found.value)


def test_a_picture_comes_back_as_one(clear_upload, tmp_path):
    shutil.copy(BAHAMAS.with_name("aerial.jpg"), tmp_path / "uploads" / "aerial.jpg")
    cleared = clear_upload(scene="aerial.jpg", clouds="none")
    assert cleared.files[0].name == "aerial_clear.png" and cleared.clouds is None
