"""The imported AMGAN-CR and CVAE give the official outputs."""

import json

import numpy as np
import pytest
import torch

from declouds.errors import UserError
from declouds.registry import REFERENCES
from declouds.weights.kinds.official import import_official


@pytest.fixture
def imported(shared, fill, tmp_path):
    """A function that gives the imported network, its config, and the golden outputs."""

    def bring(kind, golden):
        description = json.loads((shared / "goldens" / f"{golden}.json").read_text())
        path = tmp_path / "official.pth"
        filled = {key: torch.from_numpy(fill.fill(key, tuple(shape))) for key, shape in description["state_dict"]}
        torch.save(filled, path)
        config, state_dict = import_official(path, kind)
        network = REFERENCES.build(config).eval()
        network.load_state_dict(state_dict, strict=True)
        return network, config, dict(np.load(shared / "goldens" / f"{golden}.npz"))

    return bring


def cloudy(fill, shape):
    return 2 * torch.from_numpy(fill.image("cloudy", shape)) - 1


@pytest.mark.parametrize("bands", [3, 4])
def test_amgan_cr_equals_the_official_network(fill, imported, relative_error, bands):
    network, config, expected = imported("amgan_cr", f"amgan_cr_{bands}bands_64x96")
    assert config == dict(type="AMGANCR", bands=bands, features=32, recurrent_blocks=5)
    image = cloudy(fill, (1, bands, 64, 96))
    with torch.no_grad():
        outputs = network.training_outputs(image, image)
        prior = network(image)
    assert relative_error(outputs["attention"], expected["attention"]) < 1e-5
    assert relative_error((outputs["restorations"][0] + 1) / 2, expected["output"]) < 1e-5
    assert relative_error((prior + 1) / 2, expected["output"].clip(0, 1)) < 1e-5


def test_cvae_equals_the_official_network(fill, imported, relative_error):
    network, config, expected = imported("cvae", "cvae_3bands_256x256")
    assert config == dict(type="CVAE", bands=3, latent=50, size=256, width=512, depth=4, features=32)
    image = cloudy(fill, (1, 3, 256, 256))
    with torch.no_grad():
        mean, log_variance = network.encoder((image + 1) / 2)
        assert relative_error(mean, expected["mean"]) < 1e-5
        assert relative_error(log_variance, expected["log_var"]) < 1e-5
        network.encoder.log_variance.weight.zero_()  # the golden output is that of the mean code: a variance of 0
        network.encoder.log_variance.bias.fill_(-1000)
        network.draws = network.draws[:1]  # all samples are the same, so one will do
        (restored,) = network.training_outputs(image, image)["restorations"]
    assert relative_error((restored + 1) / 2, expected["output"]) < 1e-5


@pytest.mark.parametrize(
    ("golden", "kind", "key", "says"),
    [
        ("amgan_cr_3bands_64x96", "amgan_cr", "gen.gen.conv_f.0.weight", "attention.forget_gate.weight"),
        ("cvae_3bands_256x256", "cvae", "decoder.attn_layer3.channel_attn.2.bias", "decoder.attentions.2.expand.bias"),
    ],
)
def test_a_missing_weight_is_named(shared, tmp_path, golden, kind, key, says):
    keys = dict(json.loads((shared / "goldens" / f"{golden}.json").read_text())["state_dict"])
    path = tmp_path / "cut.pth"
    torch.save({name: torch.zeros(shape).half() for name, shape in keys.items() if name != key}, path)
    with pytest.raises(UserError, match=r"1 missing \(our names\): " + says):
        import_official(path, kind)
