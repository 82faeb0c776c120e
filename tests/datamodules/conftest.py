import numpy as np
import pytest

from declouds.datamodules import decoded_files
from declouds.image_io import write_image


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    """Keep decoded images in a folder of the test, however little of the disk is free."""
    monkeypatch.setenv("DECLOUDS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(decoded_files, "SPARE", 0)


@pytest.fixture
def make_pairs(tmp_path):
    """Write pairs of small pictures; the clear one is darker by 40."""

    def make(
        folder="", names=("1", "2", "10", "11", "12"), bands=3, size=(16, 24), dtype="uint8", suffix=".png", mask=False
    ):
        root = tmp_path / folder
        for side in ("cloud", "label") + (("mask",) if mask else ()):
            (root / side).mkdir(parents=True, exist_ok=True)
        for number, name in enumerate(names):
            clear = np.random.default_rng([number, bands]).integers(0, 200, (bands, *size)).astype(dtype)
            write_image(root / "cloud" / f"{name}{suffix}", (clear + 40).astype(dtype))
            write_image(root / "label" / f"{name}{suffix}", clear)
            if mask:
                half = np.zeros((1, *size), np.uint8)
                half[:, :, : size[1] // 2] = 255
                write_image(root / "mask" / f"{name}.png", half)
        return root

    return make
