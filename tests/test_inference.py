"""Precision and number of sampling steps of a trained model."""

import copy
import json
import re

import numpy as np
import pytest
import rasterio
import torch
from torch import nn

import declouds
from declouds import inference
from declouds.cli import main
from declouds.errors import UserError
from declouds.inference import choose_precision, prepare, use_precision
from declouds.models import build_model
from declouds.weights.file import save_weights

CPU = torch.device("cpu")
SIZE = dict(base=8, multipliers=(1, 2), blocks=1, attention_at=(2,), heads=2)
CONFIG = dict(
    type="DiffusionEnhancement",
    denoiser=dict(type="ConditionalUNet", predicts="clear", **SIZE),
    reference=dict(type="GainOffsetUNet", **SIZE),
    fusion=dict(type="WeightAllocation", **SIZE),
    noise_schedule=dict(type="LinearSchedule"),
    sampler=dict(type="DDIM", steps=4),
)


@pytest.fixture
def with_bf16(monkeypatch):
    monkeypatch.setattr(inference, "has_bf16", lambda device: True)


@pytest.fixture
def without_bf16(monkeypatch):
    monkeypatch.setattr(inference, "has_bf16", lambda device: False)


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = build_model(CONFIG).eval()
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    return model


def images():
    generator = torch.Generator().manual_seed(1)
    return torch.rand(1, 3, 20, 28, generator=generator) * 2 - 1, torch.randn(1, 3, 20, 28, generator=generator)


def test_auto_is_bfloat16_where_the_device_has_it_and_it_is_known_to_be_safe(with_bf16):
    assert [choose_precision("auto", CPU, safe) for safe in (False, True)] == ["fp32", "bf16"]
    assert [choose_precision(name, CPU, False) for name in ("fp32", "bf16")] == ["fp32", "bf16"]


def test_a_device_without_bfloat16(without_bf16):
    assert choose_precision("auto", CPU, True) == "fp32"
    with pytest.raises(UserError, match=r"cpu does not compute bfloat16 in hardware: use --precision fp32"):
        choose_precision("bf16", CPU, True)
    with pytest.raises(UserError, match=r"unknown precision 'fp8': use auto, fp32, bf16"):
        choose_precision("fp8", CPU, True)


def test_convolutions_compute_in_bfloat16_and_the_result_is_nearly_the_same(model):
    cloudy, noise = images()
    exact = model.predict(cloudy, noise)
    seen = set()
    use_precision(model, "bf16")
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(lambda layer, inputs, output: seen.add(output.dtype))
    rounded = model.predict(cloudy, noise)
    assert seen == {torch.bfloat16} and rounded.dtype == torch.float32
    error = (rounded - exact).norm() / exact.norm()
    assert 1e-5 < error < 2e-2
    assert not torch.is_autocast_enabled("cpu")
    # A copy has its own networks, not those of the first.
    twin = copy.deepcopy(model)
    for parameter in model.parameters():
        parameter.data.zero_()
    assert torch.equal(twin.predict(cloudy, noise), rounded)


def test_autocast_ends_when_a_network_fails(model):
    use_precision(model, "bf16")
    with pytest.raises(RuntimeError):
        model.denoiser(torch.zeros(1, 7, 8, 8), torch.zeros(1), torch.zeros(1, 3, 8, 8))
    assert not torch.is_autocast_enabled("cpu")


def test_what_is_recorded_with_the_weights_is_taken_unless_the_user_says_otherwise(model, with_bf16):
    model.record = dict(inference=dict(steps=2, bf16=True))
    prepare(model)
    assert (model.steps, model.precision) == (2, "bf16")
    other = build_model(CONFIG)
    other.record = model.record
    prepare(other, "fp32", 3)
    assert (other.steps, other.precision) == (3, "fp32")


def test_impossible_steps(model):
    for steps in (0, 1001):
        with pytest.raises(UserError, match=rf"between 1 and 1000, got {steps}"):
            prepare(model, steps=steps)
        assert model.steps == 4
    one_pass = build_model(dict(type="OnePass", reference=dict(type="Identity"), losses=[]))
    with pytest.raises(UserError, match="no number of sampling steps to set: omit --steps"):
        prepare(one_pass, steps=2)
    levels = build_model(CONFIG | dict(sampler=dict(type="Pyramid")))
    with pytest.raises(UserError, match="no number of sampling steps to set"):
        prepare(levels, steps=2)


def test_arrays_are_cleared_as_chosen_and_the_callers_model_stays_as_it_is(model, with_bf16):
    image = np.random.default_rng(0).integers(1, 255, (3, 40, 56), dtype=np.uint8)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    kinds = (dict(), dict(precision="bf16"), dict(steps=1))
    results = [declouds.remove_clouds(image, model, **kind) for kind in kinds]
    assert not np.array_equal(results[0], results[1]) and not np.array_equal(results[0], results[2])
    assert (model.steps, model.precision) == (4, "fp32")
    assert all(
        value.dtype == torch.float32 and torch.equal(value, before[key]) for key, value in model.state_dict().items()
    )


def test_predict_says_what_it_computed_with(model, with_bf16, tmp_path):
    scene = np.random.default_rng(0).integers(1, 255, (3, 40, 56), dtype=np.uint8)
    with rasterio.open(tmp_path / "s.tif", "w", driver="GTiff", count=3, height=40, width=56, dtype="uint8") as file:
        file.write(scene)
    record = dict(inference=dict(steps=2, bf16=True))
    save_weights(tmp_path / "m.safetensors", CONFIG, model.state_dict(), record)
    found = []
    for number, more in enumerate(((), ("--precision", "fp32"), ("--steps", "3"))):
        out = tmp_path / f"{number}.tif"
        main(
            ["predict", str(tmp_path / "s.tif"), "-o", str(out), "--checkpoint", str(tmp_path / "m.safetensors"), *more]
        )
        summary = json.loads(out.with_suffix(".json").read_text())
        found.append((summary["model"]["precision"], summary["model"]["steps"]))
    assert found == [("bf16", 2), ("fp32", 2), ("bf16", 3)]
    assert declouds.load_model(tmp_path / "m.safetensors").precision == "fp32"  # to train on, or to look into


def test_compiled_parts_give_the_same_result_under_the_same_keys(caplog):
    torch.manual_seed(0)
    network = dict(type="NAFNet", width=4, encoder_blocks=(), middle_blocks=1, decoder_blocks=())  # little to compile
    model = build_model(dict(type="OnePass", reference=network)).eval()
    cloudy, noise = images()
    expected, keys = model.predict(cloudy, noise), list(model.state_dict())
    caplog.set_level("INFO", "declouds")
    prepare(model, "fp32", compiled=True)
    torch.testing.assert_close(model.predict(cloudy, noise), expected, atol=1e-5, rtol=0)
    assert re.search(r"compiled \d+ operations in \d+\.\d s", caplog.text)
    assert list(model.state_dict()) == keys


def test_compiling_without_a_compiler_is_refused(model, monkeypatch):
    monkeypatch.setattr(inference.shutil, "which", lambda name: None)
    with pytest.raises(UserError, match=r"needs a C\+\+ compiler such as g\+\+: install one, or leave out --compile"):
        prepare(model, "fp32", compiled=True)
