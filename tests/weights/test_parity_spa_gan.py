"""The imported SpA-GAN gives the official outputs, and the author's weights clear a real image."""

import json

import numpy as np
import pytest
import torch

from declouds.errors import UserError
from declouds.image_io import read_image
from declouds.registry import REFERENCES
from declouds.weights.kinds.official import import_official


def official_keys(shared, bands):
    return json.loads((shared / "goldens" / f"spa_gan_{bands}bands_64x96.json").read_text())["state_dict"]


def imported(path, order):
    config, state_dict = import_official(path, "spa_gan", order)
    network = REFERENCES.build(config).eval()
    network.load_state_dict(state_dict, strict=True)
    return network, config


@pytest.mark.parametrize("bands", [3, 4])
def test_imported_network_equals_the_golden_outputs(shared, fill, relative_error, tmp_path, bands):
    path = tmp_path / "official.pth"
    keys = official_keys(shared, bands)
    torch.save({key: torch.from_numpy(fill.fill(key, tuple(shape))) for key, shape in keys}, path)
    network, config = imported(path, "rgb")
    assert config == dict(type="SpAGAN", bands=bands, features=32)

    cloudy = 2 * torch.from_numpy(fill.image("cloudy", (1, bands, 64, 96))) - 1
    golden = np.load(shared / "goldens" / f"spa_gan_{bands}bands_64x96.npz")
    with torch.inference_mode():
        outputs, prior = network.training_outputs(cloudy, cloudy), network(cloudy)
    assert relative_error(outputs["attention"], golden["attention"]) < 1e-5
    assert relative_error((outputs["restorations"][0] + 1) / 2, golden["output"]) < 1e-5
    assert relative_error((prior + 1) / 2, golden["output"].clip(0, 1)) < 1e-5
    assert (golden["output"] < 0).any() and (golden["output"] > 1).any()  # so the clamp is seen


def test_missing_and_unknown_weights_are_named(shared, tmp_path):
    path = tmp_path / "official.pth"
    zeros = {key: torch.zeros(shape) for key, shape in official_keys(shared, 3)}
    value = zeros.pop("gen.gen.SAM1.irnn2.down_weight.bias")
    torch.save({**zeros, "gen.gen.SAM1.irnn3.down_weight.bias": value}, path)
    with pytest.raises(
        UserError, match=r"1 missing \(our names\): attention\.looks\.1\.down\.bias; 1 unexpected"
    ) as info:
        imported(path, "rgb")
    assert "'SAM1.irnn3.down_weight.bias'" in str(info.value)


def decibels(image, clear):
    return float(-10 * ((image - clear).square().mean() / 4).log10())


@pytest.mark.parametrize(("data", "number"), [("rice1", "178"), ("rice2", "118")])
def test_the_authors_weights_clear_an_image_if_taken_as_bgr(shared, data, number):
    path = shared / "weights" / "spa_gan" / f"{data}.pth"
    sides = (shared / "data" / data / side / f"{number}.png" for side in ("cloud", "label"))
    cloudy, clear = (torch.from_numpy(read_image(side)[None, :, 64:128, 64:128]) / 127.5 - 1 for side in sides)
    network, swapped = imported(path, "bgr")[0], imported(path, "rgb")[0]
    with torch.inference_mode():
        prior = network(cloudy)
        torch.testing.assert_close(swapped(cloudy.flip(1)).flip(1), prior, rtol=0, atol=1e-5)
        wrong = swapped(cloudy)
    assert decibels(prior, clear) > decibels(cloudy, clear) + 4
    assert decibels(wrong, clear) < decibels(cloudy, clear) - 4
