"""What all tests share: where the real data lie."""

import os
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: spinning threads slow a busy machine many times

import pytest


def _shared_folder() -> Path:
    return Path(os.environ.get("DECLOUDS_SHARED", Path(__file__).resolve().parents[2] / "shared"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real image pairs, scenes and golden outputs; tests that need it are skipped where it is absent."""
    folder = _shared_folder()
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}: set DECLOUDS_SHARED to the folder that holds data/ and goldens/")
    return folder
