import pytest
import torch
from torch import nn

from declouds.errors import UserError
from declouds.evaluation.evaluate_model import evaluate_model
from declouds.evaluation.protocols import measure
from declouds.models.cloud_remover import CloudRemover
from declouds.scenes.sampling.noise import noise_for
from declouds.scenes.sampling.tiles import Tiling


class Brightens(CloudRemover):
    """Adds a constant and a little of the start noise, and remembers how it was called."""

    def __init__(self, fuses=True):
        super().__init__(bands=3)
        self.shift = nn.Parameter(torch.tensor(0.1))
        self.fuses = fuses
        self.shapes, self.modes = [], []

    @property
    def method(self):
        return "DE" if self.fuses else "result"

    @property
    def variants(self):
        return ("prior", "diffusion") if self.fuses else ()

    def predict(self, cloudy, noise, *, name=None, variant=None, record=None):
        if variant == "prior":
            return cloudy + 0.2
        assert not torch.is_grad_enabled()
        self.shapes.append(tuple(cloudy.shape))
        self.modes.append(self.training)
        return cloudy + self.shift * (1 if variant is None else 3) + 0.01 * noise


def dataset(sizes=(16, 16, 16, 20, 20), mask=True):
    samples = []
    for index, size in enumerate(sizes):
        clear = torch.rand(3, size, 16, generator=torch.Generator().manual_seed(index)) - 0.5
        samples.append(dict(cloudy=clear - 0.15, clear=clear, name=f"image{index}"))
        if mask:
            samples[-1]["mask"] = (clear[:1] > 0).float()
    return samples


def test_each_image_has_its_own_noise_whatever_order_and_batch():
    first = evaluate_model(Brightens(), dataset(), seed=4)["DE"]
    batched = evaluate_model(Brightens(), dataset()[::-1], seed=4, batch_size=3)["DE"]
    assert [row["name"] for row in first] == [f"image{index}" for index in range(5)]
    for one, other in zip(first, batched[::-1], strict=True):
        assert one.keys() == other.keys()
        assert all(one[key] == pytest.approx(other[key], rel=1e-6) for key in one if key != "name")
    assert evaluate_model(Brightens(), dataset(), seed=5)["DE"] != first
    sample = dataset()[0]
    expected = sample["cloudy"] + 0.1 + 0.01 * torch.as_tensor(noise_for("image0", 4, (3, 16, 16)))
    measured = measure(expected, sample["clear"], ("official", "standard"), mask=sample["mask"])
    assert {key: first[0][key] for key in measured} == pytest.approx(measured, rel=1e-6)


def test_only_images_of_one_size_share_a_batch():
    model = Brightens()
    evaluate_model(model, dataset(), protocols=("official",), batch_size=2)
    assert model.shapes == [(2, 3, 16, 16), (1, 3, 16, 16), (2, 3, 20, 16)]


def test_the_model_is_in_evaluation_mode_and_comes_back_as_it_was():
    model = Brightens().train()
    evaluate_model(model, dataset(), protocols=("official",))
    assert model.training and not any(model.modes)


def test_the_variants_are_cloudy_prior_diffusion_and_the_fused_result():
    seen = []
    found = evaluate_model(
        Brightens(),
        dataset(),
        protocols=("standard",),
        variants=True,
        on_image=lambda sample, images: seen.append((sample["name"], list(images))),
    )
    assert list(found) == ["cloudy", "prior", "diffusion", "DE"]
    error = {method: rows[0]["standard.mae"] for method, rows in found.items()}
    assert error["cloudy"] == pytest.approx(0.15, abs=1e-5)
    assert error["prior"] == pytest.approx(0.05, abs=1e-5)
    assert error["diffusion"] == pytest.approx(0.15, abs=0.005)
    assert error["DE"] == pytest.approx(0.05, abs=0.005)
    assert seen[2] == ("image2", ["cloudy", "prior", "diffusion", "DE"])


def test_a_model_without_fusion_is_the_result_and_has_no_variants():
    model = Brightens(fuses=False)
    assert list(evaluate_model(model, dataset(), protocols=("official",))) == ["result"]
    with pytest.raises(UserError, match="remove --variants"):
        evaluate_model(model, dataset(), variants=True)


def test_windows_give_what_the_whole_image_gives_where_the_model_is_local():
    model = Brightens()
    whole = evaluate_model(model, dataset((40,)), protocols=("standard",))["DE"]
    model.shapes.clear()
    tiled = evaluate_model(model, dataset((40,)), protocols=("standard",), tiling=Tiling(16, 4))["DE"]
    assert max(max(shape[-2:]) for shape in model.shapes) == 16
    assert tiled[0]["standard.psnr"] == pytest.approx(whole[0]["standard.psnr"], rel=1e-4)
