"""The perceptual loss, and where its weights come from."""

import pytest
import torch
from torch import nn

from declouds.errors import UserError
from declouds.losses import perceptual
from declouds.losses.perceptual import Perceptual
from declouds.models import OnePass


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    """No weights anywhere, and no network: nothing listens at port 9."""
    for name in ("DECLOUDS_VGG16_WEIGHTS", "DECLOUDS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DECLOUDS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(perceptual, "URL", "http://127.0.0.1:9/vgg16.pth")
    return tmp_path


def image(seed, bands=3, size=(24, 20)):
    return torch.rand(2, bands, *size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.mark.parametrize("normalise", [True, False])
def test_the_features_are_those_of_torchvision(vgg16_weights, normalise):
    from torchvision.models import vgg
    from torchvision.transforms.functional import normalize

    trunk = vgg.make_layers(vgg.cfgs["D"])[:16]  # ends with relu3_3
    content = torch.load(vgg16_weights, weights_only=True)
    trunk.load_state_dict({name.removeprefix("features."): value for name, value in content.items()})
    outputs = {}
    for index in (3, 8, 15):
        trunk[index].register_forward_hook(lambda layer, x, y, index=index: outputs.setdefault(index, y))
    scaled = [(value + 1) / 2 for value in (image(1), image(2))]
    if normalise:
        scaled = [normalize(value, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]) for value in scaled]
    trunk(torch.cat(scaled))
    expected = sum(nn.functional.mse_loss(*y.chunk(2)) for y in outputs.values()) / 3
    torch.testing.assert_close(Perceptual(vgg16_weights, normalise)(image(1), image(2)), expected, rtol=1e-4, atol=0)


@pytest.mark.parametrize("bands", [1, 2, 4])
def test_bands_that_are_no_colours_are_grey_images_of_which_the_mean_is_taken(vgg16_weights, bands):
    loss = Perceptual(vgg16_weights)
    output, target = image(1, bands), image(2, bands)
    each = [loss(output[:, [band] * 3], target[:, [band] * 3]) for band in range(bands)]
    torch.testing.assert_close(loss(output, target), torch.stack(each).mean())


def test_its_weights_are_frozen_and_in_no_checkpoint(vgg16_weights):
    config = dict(type="Perceptual", weights=vgg16_weights, weight=0.04)
    model = OnePass(reference=dict(type="GainOffsetUNet", base=8, multipliers=(1, 2)), losses=[config])
    model.train_only(["reference"])
    assert all(key.startswith("reference.") for key in model.state_dict())
    assert not list(model.loss_terms.parameters())
    cloudy, clear = image(1), image(2)
    value = model.losses(cloudy, clear, ["a", "b"])["loss_0_perceptual"]
    torch.testing.assert_close(value, 0.04 * model.loss_terms[0](model.reference(cloudy), clear))
    value.backward()
    assert any(parameter.grad.abs().sum() > 0 for parameter in model.reference.parameters())


def test_where_the_weights_are_looked_for(vgg16_weights, offline, monkeypatch):
    assert perceptual.find_weights(vgg16_weights) == vgg16_weights
    monkeypatch.setenv("DECLOUDS_VGG16_WEIGHTS", str(vgg16_weights))
    assert perceptual.find_weights() == vgg16_weights
    monkeypatch.delenv("DECLOUDS_VGG16_WEIGHTS")
    for folder in (offline / "torch" / "hub" / "checkpoints", offline / "cache"):
        folder.mkdir(parents=True)
        (folder / perceptual.FILE_NAME).write_bytes(vgg16_weights.read_bytes())
        assert perceptual.find_weights() == folder / perceptual.FILE_NAME
        Perceptual()
        (folder / perceptual.FILE_NAME).unlink()


def test_a_download_with_another_digest_is_not_kept(vgg16_weights, offline, monkeypatch):
    monkeypatch.setattr(perceptual, "URL", vgg16_weights.as_uri())
    with pytest.raises(UserError, match="what arrived is another file"):
        Perceptual()
    assert not [path for path in offline.rglob("*") if path.is_file()]


@pytest.mark.parametrize("forbidden", [True, False])
def test_without_weights_the_message_says_how_to_get_them(offline, monkeypatch, forbidden):
    if forbidden:
        monkeypatch.setenv("DECLOUDS_OFFLINE", "1")
    with pytest.raises(UserError) as caught:
        Perceptual()
    message = str(caught.value)
    assert "\n" not in message
    for part in (perceptual.URL, str(offline / "cache"), "$DECLOUDS_VGG16_WEIGHTS", "`weights`"):
        assert part in message
    assert ("$DECLOUDS_OFFLINE" in message) == forbidden
    assert not [path for path in offline.rglob("*") if path.is_file()]


def test_a_wrong_file_is_named(vgg16_weights, tmp_path):
    with pytest.raises(UserError, match=r"absent\.pth.*check the path"):
        Perceptual(tmp_path / "absent.pth")
    broken = tmp_path / "broken.pth"
    broken.write_bytes(vgg16_weights.read_bytes()[:5000])
    with pytest.raises(UserError, match=r"broken\.pth.*corrupt"):
        Perceptual(broken)
    content = torch.load(vgg16_weights, weights_only=True)
    for number, wrong in enumerate(
        [
            [1, 2],
            {key: value for key, value in content.items() if key != "features.5.weight"},
            content | {"features.5.weight": torch.zeros(3)},
            content | {"features.5.weight": "no tensor"},
        ]
    ):
        path = tmp_path / f"wrong{number}.pth"
        torch.save(wrong, path)
        with pytest.raises(UserError, match=rf"wrong{number}\.pth: not VGG16's weights .features\.[05]\.weight"):
            Perceptual(path)
