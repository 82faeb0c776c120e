"""The reference on encoders of timm: three families, any size, texture kept, trainable, and in a weights file."""

import pytest
import torch

from declouds.errors import UserError
from declouds.layers.timm_encoder import without_pretrained
from declouds.models import build_model
from declouds.registry import REFERENCES
from declouds.weights.file import load_model, save_weights

ENCODERS = ("convnext_atto", "mobilenetv3_small_050", "pvt_v2_b0")
TINY = dict(encoder="test_convnext", base=8)


def build(encoder="test_convnext", **arguments):
    torch.manual_seed(0)
    network = REFERENCES.build(dict(type="TimmUNet", encoder=encoder, base=8, **arguments))
    torch.nn.init.normal_(network.unet.out[-1].weight, std=0.1)  # away from the identity that it starts as
    return network


def images(*shape, seed=1):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.mark.parametrize("encoder", ENCODERS)
def test_three_families_of_encoders(encoder):
    network, cloudy = build(encoder), images(2, 3, 21, 34)
    (restoration,) = network.training_outputs(cloudy, cloudy)["restorations"]
    restoration.square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    network.eval()
    with torch.no_grad():
        prior = network(cloudy)
        torch.testing.assert_close(prior[:1], network(cloudy[:1]), rtol=0, atol=1e-5)
    assert prior.shape == cloudy.shape
    assert prior.abs().max() <= 1
    assert 1e-3 < (prior - cloudy).abs().mean()
    torch.testing.assert_close(prior, restoration.detach().clamp(-1, 1), rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", [(37, 50), (5, 7), (1, 9), (1, 1)])
def test_any_size(size):
    prior = build().eval()(images(1, 3, *size))
    assert prior.shape == (1, 3, *size)
    assert prior.isfinite().all()


@pytest.mark.parametrize(("bands", "in_bands"), [(1, 1), (4, 4), (13, 13), (3, 5)])
def test_any_number_of_bands(bands, in_bands):
    assert build(bands=bands, in_bands=in_bands)(images(1, in_bands, 16, 16)).shape == (1, bands, 16, 16)


def test_it_starts_as_the_identity_and_is_clamped_for_its_prior_alone():
    network, cloudy = REFERENCES.build(dict(type="TimmUNet", **TINY)), images(1, 3, 16, 16)
    assert torch.equal(network(cloudy), cloudy)
    torch.nn.init.constant_(network.unet.out[-1].bias, 3.0)
    (restoration,) = network.training_outputs(cloudy, cloudy)["restorations"]
    assert restoration.max() > 1
    assert (network(cloudy) == 1).all()


def test_bfloat16_stays_near_float32():
    network, cloudy = build().eval(), images(1, 3, 32, 32)
    with torch.no_grad():
        exact = network(cloudy)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rough = network(cloudy)
    assert rough.dtype == torch.float32
    assert (rough - exact).abs().max() < 0.1


@pytest.mark.parametrize("encoder", ["test_convnext", "test_resnet"])  # begin at a quarter, and at half of the size
def test_it_learns_what_single_pixels_say(encoder):
    # Every pixel of noise says what is asked for: without the stem's skips the loss is still at 0.7 of its beginning.
    network, noise = build(encoder), images(2, 3, 32, 32)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    losses = []
    for _ in range(25):
        loss = (network.training_outputs(noise, -noise)["restorations"][0] + noise).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0], losses


def test_a_weights_file_gives_the_same_prior(tmp_path):
    config = dict(type="OnePass", reference=dict(type="TimmUNet", **TINY), bands=4)
    model = build_model(config).eval()
    torch.nn.init.normal_(model.reference.unet.out[-1].weight)
    save_weights(tmp_path / "model.safetensors", config, model.state_dict(), {})
    cloudy = images(1, 4, 19, 23)
    assert torch.equal(load_model(tmp_path / "model.safetensors").predict(cloudy), model.predict(cloudy))


def test_a_weights_file_of_a_pretrained_encoder_is_loaded_without_a_network(tmp_path, monkeypatch):
    def fetch(*args, **kwargs):
        raise AssertionError("the hub was asked")

    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", fetch)
    config = dict(type="OnePass", reference=dict(type="TimmUNet", encoder="test_resnet", base=8, pretrained=True))
    with without_pretrained():
        model = build_model(config).eval()
    torch.nn.init.normal_(model.reference.unet.out[-1].weight)
    save_weights(tmp_path / "model.safetensors", config, model.state_dict(), {})
    cloudy = images(1, 3, 19, 23)
    assert torch.equal(load_model(tmp_path / "model.safetensors").predict(cloudy), model.predict(cloudy))


def test_an_encoder_that_does_not_exist_is_a_user_error():
    with pytest.raises(UserError, match="did you mean 'resnet18'"):
        REFERENCES.build(dict(type="TimmUNet", **{**TINY, "encoder": "resnet_18"}))
