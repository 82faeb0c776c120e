"""Models out of weights files: what of the config is checked, and what is left out."""

import pytest
import torch

import declouds
from declouds.errors import UserError
from declouds.models import build_model
from declouds.weights.file import save_weights

CONFIG = dict(type="OnePass", reference=dict(type="SpAGAN", bands=3, features=2), bands=3)


@pytest.fixture
def stored(tmp_path):
    """A function that stores a model with changes to its config and its weights, and returns the path."""

    def store(more_weights=(), **changes):
        path = tmp_path / "model.safetensors"
        state_dict = build_model(CONFIG).state_dict() | dict(more_weights)
        save_weights(path, CONFIG | changes, state_dict, {}, overwrite=True)
        return path

    return store


@pytest.mark.parametrize(
    ("key", "value"),
    [("bands", None), *((key, value) for key in ("bands", "in_bands") for value in ("x", 0, -1, 3.0, True, [3]))],
)
def test_a_number_of_bands_is_a_whole_number(stored, key, value):
    with pytest.raises(UserError, match=f"a config with {key}=.*, not a number of bands: get the file again"):
        declouds.load_model(stored(**{key: value}))


def test_bands_that_are_not_said_are_the_defaults(stored):
    assert declouds.load_model(stored(in_bands=None)).in_bands == 3


def test_losses_and_their_weights_are_left_out(stored, monkeypatch, tmp_path):
    for name in ("DECLOUDS_CACHE", "TORCH_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "empty"))
    monkeypatch.delenv("DECLOUDS_VGG16_WEIGHTS", raising=False)
    monkeypatch.setenv("DECLOUDS_OFFLINE", "1")
    losses = [dict(type="L1"), dict(type="Perceptual", weight=0.1)]
    with pytest.raises(UserError, match="needs VGG16's weights"):
        build_model(CONFIG | dict(losses=losses))
    kernel = {"loss_terms.0.kernel": torch.ones(3)}
    model = declouds.load_model(stored(kernel, losses=losses))
    assert not len(model.loss_terms)
    assert model.predict(torch.zeros(1, 3, 8, 8)).shape == (1, 3, 8, 8)
    with pytest.raises(UserError, match=r"1 unexpected \(loss_terms\.0\.kernel\)"):
        declouds.load_model(stored(kernel))
