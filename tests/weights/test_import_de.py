"""A denoiser and its reference become one file: of the same bands, in the same units."""

import pytest
import torch

import declouds
from declouds.cli import main
from declouds.models import build_model
from declouds.weights.file import save_weights
from declouds.weights.kinds import import_file as module

SMALL = dict(base=8, multipliers=[1], blocks=1, attention_at=[], heads=1)
REFERENCE = dict(type="GainOffsetUNet", base=8, multipliers=[1])


@pytest.fixture
def import_de(monkeypatch, tmp_path):
    """A function that imports a small denoiser and fusion, whose official file stands for itself."""

    def bring(in_bands, *more):
        sizes = dict(bands=3, in_bands=in_bands)
        network = dict(
            type="DiffusionEnhancement",
            denoiser=dict(type="ConditionalUNet", **sizes, **SMALL),
            fusion=dict(type="WeightAllocation", **sizes, **SMALL),
        )
        rest = dict(noise_schedule=dict(type="LinearSchedule"), sampler=dict(type="DDIM"), reference=REFERENCE)
        whole = build_model(network | rest | sizes).state_dict()
        state_dict = {key: value for key, value in whole.items() if not key.startswith("reference.")}
        monkeypatch.setattr(module, "import_official", lambda *_: (network, state_dict))
        (tmp_path / "official.pth").touch()
        target = tmp_path / "de.safetensors"
        target.unlink(missing_ok=True)
        words = (
            "import",
            "official.pth",
            "--as",
            "de",
            "--part",
            "reference=reference.safetensors",
            "-o",
            "de.safetensors",
        )
        main(["weights", *words, *more])
        return declouds.load_model(target)

    monkeypatch.chdir(tmp_path)
    return bring


def store_reference(bands=3, in_bands=None, **units):
    config = dict(type="OnePass", reference=REFERENCE, bands=bands, in_bands=in_bands, **units)
    save_weights("reference.safetensors", config, build_model(config).state_dict(), dict(made="here"), overwrite=True)


def refusal(import_de, capsys, tmp_path, *words):
    with pytest.raises(SystemExit) as ended:
        import_de(*words)
    assert ended.value.code == 2 and not (tmp_path / "de.safetensors").exists()
    return capsys.readouterr().err


def test_a_denoiser_that_sees_more_bands_than_it_makes(import_de):
    store_reference(in_bands=4)
    model = import_de(4)
    assert (model.bands, model.in_bands) == (3, 4)
    assert model.predict(torch.zeros(1, 4, 16, 16), torch.zeros(1, 3, 16, 16)).shape == (1, 3, 16, 16)


def test_a_reference_of_other_bands_is_refused(import_de, capsys, tmp_path):
    for bands, in_bands, wanted in ((3, 3, 4), (3, 4, 3), (4, 4, 4), (4, 4, 3)):
        store_reference(bands, in_bands)
        message = refusal(import_de, capsys, tmp_path, wanted)
        assert f"reference.safetensors holds no reference that makes 3 bands from {wanted}" in message


def test_units_are_those_of_the_reference(import_de, capsys, tmp_path):
    names = ["nir", "red", "green"]
    store_reference(value_range=[0, 10000], band_names=names)
    for more in ((), ("--value-range", "0", "10000", "--band-names", *names)):
        model = import_de(3, *more)
        assert (model.value_range.low, model.value_range.high) == (0, 10000) and list(model.band_names) == names
    message = refusal(import_de, capsys, tmp_path, 3, "--value-range", "0", "255")
    assert "reference.safetensors takes values from 0 to 10000: leave --value-range out" in message
    message = refusal(import_de, capsys, tmp_path, 3, "--band-names", "red", "green", "nir")
    assert "takes the bands nir red green: leave --band-names out" in message


def test_bands_that_the_reference_does_not_name_can_be_named(import_de):
    store_reference()
    assert import_de(3).band_names == ()
    assert import_de(3, "--band-names", "a", "b", "c").band_names == ("a", "b", "c")


def test_a_reference_whose_weights_are_not_its_configs_is_refused(import_de, capsys, tmp_path):
    config = dict(type="OnePass", reference=REFERENCE, bands=3)
    save_weights("reference.safetensors", config, {"reference.x": torch.zeros(1)}, {})
    assert "reference.safetensors does not fit OnePass" in refusal(import_de, capsys, tmp_path, 3)
