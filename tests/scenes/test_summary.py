import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from declouds.errors import UserError
from declouds.scenes.rasters.scene import Scene
from declouds.scenes.summary import summary, write_summary
from declouds.value_range import ValueRange

GIVEN = dict(
    version="1.2.3",
    model=dict(sha256="ab" * 32, precision="bf16", steps=2),
    settings=dict(seed=7, nodata=float("nan"), mask=Path("clouds.tif"), bands=("B04", "B03"), cog=True, scale=None),
    mask=dict(file="clouds.tif", kind="scl"),
    pixels=dict(valid=np.int64(90), nodata=10, cleared=20, changed=19),
    windows=dict(all=4, skipped=1),
    seconds=12.34567,
)


@pytest.fixture
def scene(tmp_path):
    path = tmp_path / "T31UFS é.tif"
    with rasterio.open(
        path, "w", driver="GTiff", width=20, height=5, count=2, dtype="uint16",
        crs="EPSG:32631", transform=Affine(10, 0, 5e5, 0, -10, 5e6),
    ) as file:  # fmt: skip
        file.write(np.ones((2, 5, 20), np.uint16))
    with rasterio.open(path) as file:
        yield path, file


def opened(path, file):
    return Scene(file, path, list(file.indexes), list(range(file.count)), ValueRange(0, 10000), None)


def test_the_file_holds_what_was_done(scene, tmp_path):
    source, file = scene
    told = summary(opened(source, file), Path("out/clear.tif"), **GIVEN)
    write_summary(tmp_path / "clear.json", told)
    assert json.loads((tmp_path / "clear.json").read_text(), parse_constant=pytest.fail) == told
    assert told == {
        "declouds": "1.2.3",
        "source": {
            **dict(name="T31UFS é.tif", height=5, width=20, bands=2, dtype="uint16", crs="EPSG:32631"),
            "transform": [10, 0, 5e5, 0, -10, 5e6],
        },
        "result": "clear.tif",
        "model": {"sha256": "ab" * 32, "precision": "bf16", "steps": 2},
        "settings": dict(seed=7, nodata="nan", mask="clouds.tif", bands=["B04", "B03"], cog=True, scale=None),
        "mask": dict(file="clouds.tif", kind="scl"),
        "pixels": dict(valid=90, nodata=10, cleared=20, changed=19),
        "windows": dict(all=4, skipped=1),
        "seconds": 12.346,
    }


def test_a_scene_without_a_crs_and_a_model_without_a_file(tmp_path):
    with rasterio.MemoryFile() as memory:
        with memory.open(
            driver="GTiff", width=3, height=2, count=1, dtype="uint8", transform=Affine(1, 0, 9, 0, -1, 9)
        ) as file:
            given = GIVEN | dict(model=dict(sha256=None, precision="fp32", steps=None))
            made = summary(opened(Path("a"), file), Path("b"), **given)
    assert made["source"]["crs"] is None and made["model"] == {"sha256": None, "precision": "fp32", "steps": None}


def test_an_existing_file_is_replaced_whole(tmp_path):
    path = tmp_path / "clear.json"
    path.write_text("x" * 10_000)
    write_summary(path, {"low": -np.inf, "n": np.float32(0.5), 3: (1, 2)})
    assert json.loads(path.read_text()) == {"low": "-inf", "n": 0.5, "3": [1, 2]}
    assert [found.name for found in tmp_path.iterdir()] == ["clear.json"]


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match=r"clear\.json: cannot be written .* check the folder"):
        write_summary(tmp_path / "no" / "clear.json", {})
