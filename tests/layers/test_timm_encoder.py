"""Encoders of timm: pyramids of every family, no norm over the batch, and errors that say what to do."""

import pytest
import timm
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from declouds.errors import UserError
from declouds.layers.timm_encoder import TimmEncoder, without_pretrained


def images(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.fixture
def hub(monkeypatch):
    """A hub that gives the weights of the same network, drawn anew, and counts how often it was asked."""
    asked = []

    def fetch(hub_id, *args, **kwargs):
        asked.append(hub_id)
        torch.manual_seed(7)
        net = timm.create_model(hub_id.split("/")[-1])
        with torch.no_grad():
            for value in net.state_dict().values():
                if value.is_floating_point():
                    value.uniform_(0.5, 1.5)
        return net.state_dict()

    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", fetch)
    return asked


@pytest.mark.parametrize(
    ("name", "multiple"),
    [
        ("convnext_atto", 32),
        ("resnet10t", 32),  # its first level is at half of the size
        ("mobilenetv3_small_050", 32),
        ("pvt_v2_b0", 32),
        ("mambaout_femto", 32),  # gives (B, H, W, C)
        ("swin_tiny_patch4_window7_224", 32),  # is made for 224x224, and gives (B, H, W, C)
        ("test_vit", 16),  # all levels at one size
        ("test_maxvit", 160),  # its windows fit multiples of its own size alone
    ],
)
def test_features_are_as_announced(name, multiple):
    encoder = TimmEncoder(name, 4).eval()
    assert encoder.multiple == multiple
    with torch.no_grad():
        features = encoder(images(1, 4, multiple, 2 * multiple))
    assert [tuple(level.shape[1:]) for level in features] == [
        (channels, multiple // reduction, 2 * multiple // reduction)
        for channels, reduction in zip(encoder.channels, encoder.reductions, strict=True)
    ]


def test_a_size_of_its_own_can_be_chosen():
    assert TimmEncoder("test_maxvit", 3, img_size=64).multiple == 64


def test_batch_norms_become_group_norms_with_the_same_affine_parameters():
    encoder = TimmEncoder("resnet18", 3).train()
    norms = [module for module in encoder.modules() if isinstance(module, nn.GroupNorm)]
    assert not any(isinstance(module, _BatchNorm) for module in encoder.modules())
    assert len(norms) == 20
    assert all(norm.num_channels // norm.num_groups >= 8 for norm in norms)
    assert (encoder.net.layer1[0].bn2.weight == 0).all()  # timm starts residual branches at zero
    batch = images(2, 3, 32, 32)
    alone = encoder(batch[:1])[-1]
    torch.testing.assert_close(encoder(batch)[-1][:1], alone, rtol=0, atol=1e-5)
    assert alone.std() > 0.01  # at one pixel, too, something is left


def test_fused_activations_are_kept():
    norm, *_, activation = TimmEncoder("regnetx_002", 3).net.stem.bn
    assert isinstance(norm, nn.GroupNorm)
    assert isinstance(activation, nn.ReLU)


def test_pretrained_norms_are_frozen(hub):
    encoder = TimmEncoder("resnet18", 3, pretrained=True).train()
    assert len(hub) == 1
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    batch = images(2, 3, 32, 32)
    together = encoder(batch)[-1]
    torch.testing.assert_close(together[:1], encoder(batch[:1])[-1], rtol=1e-5, atol=1e-5)
    assert all(torch.equal(value, before[key]) for key, value in encoder.state_dict().items())
    assert before["net.bn1.running_mean"].min() >= 0.5  # the statistics of the hub
    assert all(parameter.dim() == 4 for parameter in encoder.parameters())  # convolutions alone are trained


def test_pretrained_weights_arrive_and_fit_other_bands(hub):
    three, four = TimmEncoder("resnet18", 3, pretrained=True), TimmEncoder("resnet18", 4, pretrained=True)
    assert torch.equal(three.net.layer4[1].conv2.weight, four.net.layer4[1].conv2.weight)
    torch.testing.assert_close(four.net.conv1.weight[:, :3], three.net.conv1.weight * 3 / 4)


def test_nothing_is_fetched_for_weights_from_a_file(hub):
    trained = TimmEncoder("test_resnet", 3, pretrained=True).eval()
    assert len(hub) == 1
    with without_pretrained():
        loaded = TimmEncoder("test_resnet", 3, pretrained=True).eval()
    with torch.device("meta"):
        TimmEncoder("test_resnet", 3, pretrained=True)
    assert len(hub) == 1
    loaded.load_state_dict(trained.state_dict(), strict=True)
    batch = images(1, 3, 32, 64)
    assert all(map(torch.equal, loaded(batch), trained(batch)))
    TimmEncoder("test_resnet", 3, pretrained=True)
    assert len(hub) == 2  # outside of the block it is as before


def test_weights_out_of_reach_are_a_user_error(monkeypatch):
    def fetch(*args, **kwargs):
        raise OSError("Name or service not known\nand more lines")

    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", fetch)
    with pytest.raises(UserError, match=r"test_resnet are unavailable \(Name or .* known\): set pretrained=False"):
        TimmEncoder("test_resnet", 3, pretrained=True)


def test_an_encoder_without_features_is_a_user_error(monkeypatch):
    def refuse(name, **arguments):
        raise RuntimeError(f"features_only not implemented for {name}")

    monkeypatch.setattr(timm, "create_model", refuse)
    for pretrained in (False, True):
        with pytest.raises(UserError, match=r"cannot build test_resnet as .* \(features_only not .* choose one"):
            TimmEncoder("test_resnet", 3, pretrained=pretrained)


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        ("convnext_tinny", {}, "did you mean 'convnext_tiny'"),
        ("qqqqqqqqqqqq", {}, "unknown timm encoder 'qqqqqqqqqqqq': timm.list_models"),
        ("resnet18.a9_in1k", {}, "no weights 'a9_in1k' for resnet18; known: resnet18.a1_in1k"),
        ("test_coatnet", {}, "test_coatnet does not support arbitrary image sizes .*: choose"),
        ("crossvit_9_240", {}, r"downsamples by \[12, 17\]"),
        ("test_resnet", dict(img_size=64), "remove img_size=64"),
        ("levit_128s", dict(pretrained=True), "cannot be frozen: set pretrained=False"),
    ],
)
def test_encoders_that_cannot_be_used_are_user_errors(name, arguments, says):
    with without_pretrained(), pytest.raises(UserError, match=says):
        TimmEncoder(name, 3, **arguments)
