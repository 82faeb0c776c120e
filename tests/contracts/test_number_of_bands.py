"""Images of one band and of five go through everything: training, evaluation, report and scenes."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine

from declouds.cli import main
from declouds.errors import UserError
from declouds.evaluation.protocols import measure
from declouds.evaluation.signatures import measure_signatures
from declouds.image_io import read_image, write_image
from declouds.models import build_model
from declouds.registry import SAMPLERS
from declouds.scenes.api import remove_clouds
from declouds.weights.file import load_model

NET = dict(base=8, multipliers=(1, 1), blocks=1, attention_at=())
MODEL = dict(
    type="DiffusionEnhancement",
    denoiser=dict(type="ConditionalUNet", predicts="clear", **NET),
    reference=dict(type="GainOffsetUNet", **NET),
    fusion=dict(type="WeightAllocation", **NET),
    noise_schedule=dict(type="LinearSchedule"),
    sampler=dict(type="DDIM", steps=2),
)
CONFIG = """
num_workers = 0
val = dict(images=1, panels=1)
datamodule = dict(type="PairedFolder", root={root!r}, split="folders", value_range=[0, 10000], val="test")
model = {model!r}
_short = dict(iterations=1, batch_size=2, lr=1e-3, crop=16)
stages = [
    dict(name="reference", train=["reference"], **_short),
    dict(name="diffusion", train=["denoiser"], **_short),
    dict(name="fusion", train=["fusion"], **_short),
]
"""


def lpips(a, b):
    """Stand in for LPIPS, which takes three bands alone."""
    assert a.shape == b.shape and len(a) == 3
    return float((a - b).abs().mean() * a.std())


@pytest.fixture(scope="module", params=[1, 5], ids=["one band", "five bands"])
def trained(request, tmp_path_factory):
    """Number of bands, and the folder of a data set of uint16, its config, and a run of all stages."""
    folder = tmp_path_factory.mktemp("bands")
    random = np.random.default_rng(0)
    for part, count in (("train", 3), ("test", 2)):
        for side in ("cloud", "label"):
            (folder / "data" / part / side).mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(1, 10000, (request.param, 32, 40), dtype=np.uint16)
                write_image(folder / "data" / part / side / f"{part}{number}.tif", pixels)
    (folder / "config.py").write_text(CONFIG.format(root=str(folder / "data"), model=MODEL))
    main(["train", str(folder / "config.py"), "--work-dir", str(folder / "run")])
    return request.param, folder


def weights(folder: Path) -> Path:
    return folder / "run" / "model.safetensors"


def test_it_is_trained_tested_and_reported(trained, tmp_path, monkeypatch, capsys):
    bands, folder = trained
    model = load_model(weights(folder))
    assert (model.bands, model.in_bands) == (bands, bands)
    monkeypatch.setattr("declouds.evaluation.lpips_net.load_lpips", lambda weights: lpips)
    scores = tmp_path / "scores"
    options = ["--variants", "--save-images", "--device", "cpu", "--out", scores]
    main(["test", *map(str, [folder / "config.py", weights(folder), *options])])
    rows = json.loads((scores / "results.json").read_text())["methods"]["DE"]["per_image"]
    assert len(rows) == 2
    by_band = {f"standard.{figure}.band{number}" for figure in ("psnr", "mae") for number in range(1, bands + 1)}
    for row in rows:
        assert {key for key in row if ".band" in key} == by_band
        figures = {
            f"{protocol}.{figure}" for protocol in ("official", "standard") for figure in ("psnr", "ssim", "lpips")
        }
        assert all(np.isfinite(row[key]) for key in figures | by_band)
        assert ("standard.sam" in row) == (bands > 1)
    images = sorted((scores / "results").iterdir())
    assert [read_image(image).shape for image in images] == [(bands, 32, 40)] * 2
    main(["evaluate", str(scores / "results"), str(folder / "data" / "test" / "label"), "--value-range", "0", "10000"])
    capsys.readouterr()
    main(["report", str(scores), "--out", str(tmp_path / "report"), "--device", "cpu"])
    assert capsys.readouterr().err == ""  # nothing was left out
    assert len(list((tmp_path / "report").rglob("*.png"))) > 10


def test_a_scene_of_these_bands_is_cleared(trained, tmp_path):
    bands, folder = trained
    pixels = np.random.default_rng(1).integers(1, 10000, (bands, 50, 70)).astype(np.uint16)
    grid = dict(crs="EPSG:32618", transform=Affine(10, 0, 5e5, 0, -10, 5e6))
    with rasterio.open(
        tmp_path / "s.tif", "w", driver="GTiff", count=bands, height=50, width=70, dtype="uint16", **grid
    ) as file:
        file.write(pixels)
    arguments = [tmp_path / "s.tif", "-o", tmp_path / "o.tif", "--checkpoint", weights(folder), "--device", "cpu"]
    options = ["--tile", "32", "--overlap", "8", "--seed", "2", "--quality", "--preview"]
    main(["predict", *map(str, arguments), *options])
    with rasterio.open(tmp_path / "o.tif") as file:
        result = file.read()
    expected = remove_clouds(pixels, weights(folder), tile=32, overlap=8, seed=2, device="cpu")
    assert result.dtype == np.uint16
    np.testing.assert_array_equal(result, expected)
    assert (result != pixels).mean() > 0.5


@pytest.mark.parametrize("bands", [1, 5])
@pytest.mark.parametrize("name", SAMPLERS.names())
@pytest.mark.parametrize("blend", ["joint", "final"])
def test_every_sampler_makes_these_bands(name, bands, blend):
    steps = {} if name == "Pyramid" else dict(steps=3)
    torch.manual_seed(0)
    model = build_model({**MODEL, "sampler": dict(type=name, **steps), "bands": bands, "value_range": (0, 1)}).eval()
    image = np.random.default_rng(0).uniform(0.1, 0.9, (bands, 20, 40)).astype(np.float32)
    if blend == "joint" and not hasattr(model.sampler, "step"):
        with pytest.raises(UserError, match="cannot be sampled jointly"):
            remove_clouds(image, model, tile=24, overlap=8)
    else:
        result = remove_clouds(image, model, tile=24, overlap=8, blend=blend)
        assert result.shape == image.shape and (result != image).mean() > 0.9


@pytest.mark.parametrize("bands", [1, 5])
def test_figures_of_one_band_and_of_five_are_means_over_bands_seen_as_grey(bands):
    generator = torch.Generator().manual_seed(0)
    clear, result = (torch.rand(bands, 40, 32, generator=generator) * 2 - 1 for _ in range(2))
    found = measure(result, clear, ("official", "standard"), lpips)
    grey = [
        measure(a.expand(3, -1, -1), b.expand(3, -1, -1), ("official", "standard"), lpips)
        for a, b in zip(result, clear, strict=True)
    ]
    for key in ("official.ssim", "official.lpips", "standard.ssim", "standard.lpips", "standard.mae"):
        assert found[key] == pytest.approx(np.mean([one[key] for one in grey]), rel=1e-5), key
    for key, peak in (("official.psnr", 255), ("standard.psnr", 2)):  # of all values together
        errors = [peak**2 / 10 ** (one[key] / 10) for one in grey]
        assert found[key] == pytest.approx(10 * np.log10(peak**2 / np.mean(errors)), rel=1e-5), key
    assert ("standard.sam" in found) == (bands > 1)
    tint = measure_signatures(result, clear, result)["signature.colour_shift"]
    assert np.isfinite(tint) == (bands > 1)
