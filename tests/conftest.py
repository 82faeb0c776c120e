"""What all tests share: where the real data lie, and a stand-in for weights that have to be downloaded."""

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


@pytest.fixture(scope="session")
def vgg16_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of random weights of the layers of VGG16 that the perceptual loss compares."""
    import torch

    from declouds.losses.perceptual import LAYERS

    generator, content = torch.Generator().manual_seed(0), {}
    for index, (out_channels, in_channels) in LAYERS.items():
        spread = (2 / (9 * in_channels)) ** 0.5  # keeps the size of what passes through
        weight = spread * torch.randn(out_channels, in_channels, 3, 3, generator=generator)
        content |= {f"features.{index}.weight": weight, f"features.{index}.bias": torch.zeros(out_channels)}
    path = tmp_path_factory.mktemp("vgg16") / "vgg16.pth"
    torch.save(content, path)
    return path
