"""What fills official files for golden outputs; and files of SpA-GAN, small and random, that need no real data."""

import importlib.util

import pytest
import torch

from declouds.weights import zoo as zoo_module


@pytest.fixture(scope="session")
def fill(shared):
    """The module that made the weights and images of the golden outputs."""
    spec = importlib.util.spec_from_file_location("golden_fill", shared / "goldens" / "fill.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def relative_error():
    """A function that gives the greatest error of a tensor, in units of the greatest number of the golden array."""

    def error(ours, golden):
        golden = torch.from_numpy(golden)
        return float((ours - golden).abs().max() / golden.abs().max())

    return error


def shapes(bands, features):
    """Return the official keys of a generator and their shapes."""
    found = {"conv_in.0.weight": (features, bands, 3, 3), "conv_out.0.weight": (bands, features, 3, 3)}
    for look in ("irnn1", "irnn2"):
        for side in ("left", "right", "up", "down"):
            found |= {f"SAM1.{look}.{side}_weight.weight": (features, 1, 1, 1)}
            found |= {f"SAM1.{look}.{side}_weight.bias": (features,)}
    for conv, width in (("conv1", features), ("conv2", 4 * features), ("conv3", 4 * features)):
        found |= {f"SAM1.{conv}.weight": (features, width, 1, 1), f"SAM1.{conv}.bias": (features,)}
    found |= {"SAM1.conv_in.weight": (features, features, 3, 3), "SAM1.conv_out.weight": (1, features, 1, 1)}
    for block in range(1, 18):
        for conv, side in (("conv1", 1), ("conv2", 3), ("conv3", 1)):
            found |= {f"res_block{block}.group1.{conv}.weight": (features, features, side, side)}
    return found


@pytest.fixture(scope="session")
def spa_gan_official():
    """A function that gives an official state dict of SpA-GAN."""

    def official(bands=3, seed=0, features=2):
        generator = torch.Generator().manual_seed(seed)
        return {
            f"gen.gen.{key}": torch.randn(shape, generator=generator) * 0.3
            for key, shape in shapes(bands, features).items()
        }

    return official


@pytest.fixture
def spa_gan_file(tmp_path, spa_gan_official):
    """A function that writes one into ``tmp_path`` and returns its path."""

    def write(bands=3, seed=0, name="spa_gan.pth"):
        torch.save(spa_gan_official(bands, seed), tmp_path / name)
        return tmp_path / name

    return write


@pytest.fixture
def one_entry(monkeypatch, tmp_path, spa_gan_file):
    """A function that makes a zoo of one entry out of a file in ``tmp_path / 'web'``, with an empty cache."""
    monkeypatch.setenv("DECLOUDS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("DECLOUDS_OFFLINE", raising=False)
    (tmp_path / "web").mkdir()
    file = spa_gan_file(name="web/published.pth")

    def publish(**changes):
        values = dict(
            name="tiny",
            about="a tiny network",
            kind="spa_gan",
            channel_order="bgr",
            value_range=(0, 255),
            urls=(file.as_uri(),),
            sha256=zoo_module.file_digest(file),
            bytes=file.stat().st_size,
            source="here",
            licence="MIT",
            expected=None,
        )
        entry = zoo_module.ZooEntry(**(values | changes))
        monkeypatch.setattr(zoo_module, "zoo", lambda: {"tiny": entry})
        return entry

    return publish
