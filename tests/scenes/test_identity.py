"""Unfinished work is continued by the same model alone: the same weights are not enough."""

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine

from declouds.errors import UserError
from declouds.models import build_model
from declouds.samplers.ddim import DDIM
from declouds.scenes.api import remover_of
from declouds.scenes.clear import clear_scene
from declouds.scenes.identity import description, model_digest
from declouds.scenes.options import SceneOptions

SMALL = dict(base=8, multipliers=(1, 1), blocks=1, attention_at=())
MODEL = dict(
    type="DiffusionEnhancement",
    denoiser=dict(type="ConditionalUNet", predicts="clear", **SMALL),
    reference=dict(type="GainOffsetUNet", **SMALL),
    fusion=dict(type="WeightAllocation", **SMALL),
    noise_schedule=dict(type="LinearSchedule"),
    sampler=dict(type="DDIM", steps=10),
)


def build(**changes):
    torch.manual_seed(0)
    return build_model({**MODEL, **changes}).eval()


CHANGES = [
    dict(sampler=dict(type="DDIM", steps=2)),
    dict(sampler=dict(type="DDPM", steps=10)),
    dict(eta=0.5),
    dict(noise_schedule=dict(type="CosineSchedule")),
    dict(noise_schedule=dict(type="LinearSchedule", beta_end=1e-2)),
    dict(denoiser={**MODEL["denoiser"], "predicts": "noise"}),
    dict(degrade_prior=dict(bias=0.1)),
    dict(value_range=(0, 100)),
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: str(change)[:60])
def test_everything_that_changes_pixels_changes_the_digest(change):
    one, other = build(), build(**change)
    assert all(torch.equal(value, other.state_dict()[key]) for key, value in one.state_dict().items())
    assert model_digest(one) == model_digest(build()) != model_digest(other)


def test_what_is_set_afterwards_counts_and_what_changes_nothing_does_not():
    model = build()
    before = model_digest(model)
    model.train()
    model.record = dict(seed=1)
    assert model_digest(model.eval()) == before
    model.sampler = DDIM(2)
    assert model_digest(model) == model_digest(build(sampler=dict(type="DDIM", steps=2)))
    with torch.no_grad():
        next(model.fusion.parameters()).add_(1)
    assert model_digest(model) != model_digest(build(sampler=dict(type="DDIM", steps=2)))


def test_another_sampler_does_not_continue_the_work_of_the_first(tmp_path):
    """Ten steps, interrupted in the fifth; two steps with the same weights are other work, and give their own image."""
    pixels = np.random.default_rng(0).integers(1, 255, (3, 80, 70)).astype(np.uint8)
    grid = dict(crs="EPSG:32618", transform=Affine(10, 0, 5e5, 0, -10, 5e6))
    with rasterio.open(
        tmp_path / "s.tif", "w", driver="GTiff", count=3, height=80, width=70, dtype="uint8", **grid
    ) as f:
        f.write(pixels)

    def clear(model, output, progress=None, **more):
        chosen = SceneOptions(tile=32, overlap=8, **more)
        with remover_of(model, chosen) as remover:
            clear_scene(remover, tmp_path / "s.tif", tmp_path / output, chosen, progress=progress)
        with rasterio.open(tmp_path / output) as file:
            return file.read()

    def stop(title, done, total):
        if title.startswith("step 5/"):
            raise KeyboardInterrupt

    few = build(sampler=dict(type="DDIM", steps=2))
    expected = clear(few, "whole.tif")
    with pytest.raises(KeyboardInterrupt):
        clear(build(), "o.tif", stop)
    with pytest.raises(UserError, match=r"unfinished work of another command.*--restart"):
        clear(few, "o.tif")
    assert not (tmp_path / "o.tif").exists()
    result = clear(few, "o.tif", restart=True)
    np.testing.assert_array_equal(result, expected)
    assert result.std() > 5


def test_another_calibration_does_not_continue_the_work_of_the_first(tmp_path):
    path = tmp_path / "s.tif"
    grid = dict(crs="EPSG:32618", transform=Affine(10, 0, 5e5, 0, -10, 5e6))
    with rasterio.open(path, "w", driver="GTiff", count=3, height=40, width=40, dtype="uint8", **grid) as file:
        file.write(np.random.default_rng(0).integers(1, 255, (3, 40, 40)).astype(np.uint8))

    def clear(factor, samples, progress=None):
        model = build(sampler=dict(type="DDIM", steps=2))
        spread = dict(a=[0.1] * 3, b=[factor] * 3, samples=2, steps=2)
        model.record = dict(inference=dict(spread=spread))
        chosen = SceneOptions(tile=32, overlap=8, samples=samples, quality=True)
        with remover_of(model, chosen) as remover:
            clear_scene(remover, path, tmp_path / "o.tif", chosen, progress=progress)

    def stop(title, done, total):
        if title.startswith("step 2/"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        clear(1.0, 2, stop)
    with pytest.raises(UserError, match=r"unfinished work of another command.*b.*--restart"):
        clear(2.0, 2)
    clear(1.0, 2)
    (tmp_path / "o.tif").unlink()
    (tmp_path / "o_quality.tif").unlink()
    (tmp_path / "o.json").unlink()
    with pytest.raises(KeyboardInterrupt):
        clear(1.0, 1, stop)
    clear(2.0, 1)  # a single sample has no spread


def test_a_module_is_its_name_and_version():
    class UsesIt:
        def __init__(self):
            self.package = torch.nn.functional

    assert description(UsesIt())["package"] == ["torch.nn.functional", torch.__version__]
