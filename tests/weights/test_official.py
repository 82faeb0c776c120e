"""Official weight files: parity of the imported networks, and refusal of everything that is not exactly such a file."""

import json
import pickle

import numpy as np
import pytest
import safetensors.torch
import torch

from declouds.errors import UserError
from declouds.registry import DENOISERS, FUSIONS, REFERENCES
from declouds.weights.kinds.official import import_official

SIZES = {"mpr_net": "64x96", "msda": "64x96", "de": "64x64"}


@pytest.fixture(scope="session")
def goldens(shared):
    return shared / "goldens"


def official_keys(goldens, kind, bands):
    name = {"de": "de_network"}.get(kind, kind)
    return json.loads((goldens / f"{name}_{bands}bands_{SIZES[kind]}.json").read_text())["state_dict"]


@pytest.fixture
def zeros(goldens):
    """A function that gives an official state dict of zeros."""
    return lambda kind, bands=3: {
        key: torch.zeros(shape, dtype=torch.float16) for key, shape in official_keys(goldens, kind, bands)
    }


@pytest.fixture
def save(tmp_path):
    """A function that saves what it is given as a PyTorch file and returns the path."""

    def save(content):
        path = tmp_path / "official.pth"
        torch.save(content, path)
        return path

    return save


def refusal(path, kind):
    with pytest.raises(UserError) as caught:
        import_official(path, kind)
    message = str(caught.value)
    assert "\n" not in message
    assert path.name in message
    return message


@pytest.mark.parametrize("bands", [3, 4])
@pytest.mark.parametrize("kind", ["mpr_net", "msda"])
def test_imported_reference_equals_the_golden_output(goldens, fill, relative_error, save, kind, bands):
    path = save(
        {key: torch.from_numpy(fill.fill(key, tuple(shape))) for key, shape in official_keys(goldens, kind, bands)}
    )
    config, state_dict = import_official(path, kind)
    assert config["bands"] == bands
    network = REFERENCES.build(config).eval()
    network.load_state_dict(state_dict, strict=True)

    last = network.tail if kind == "mpr_net" else network.conv_out
    seen = []
    last.register_forward_hook(lambda module, inputs, output: seen.append(output))
    cloudy = torch.from_numpy(fill.image("cloudy", (1, bands, 64, 96)))
    with torch.inference_mode():
        prior = network(2 * cloudy - 1)
    golden = np.load(goldens / f"{kind}_{bands}bands_64x96.npz")
    assert relative_error(seen[0], golden["before_last"]) < 2e-5
    # MPRNet's last convolution reaches +-300 here before the clamp to [0, 1], so its rounding is measured against that:
    # the golden output itself is up to 7e-4 away from the same network computed in float64.
    scale = np.abs(golden["before_last"]).max() if kind == "mpr_net" else 1.0
    assert np.abs((prior.numpy() + 1) / 2 - golden["output"]).max() < 1e-5 * scale


@pytest.mark.parametrize("bands", [3, 4])
def test_de_weights_fill_denoiser_and_fusion(goldens, fill, save, bands):
    keys = dict(official_keys(goldens, "de", bands))
    some = {"input_blocks.7.0.in_layers.2.weight", "wc.output_blocks.0.1.qkv.bias", "out.2.weight", "time_embed.0.bias"}
    path = save(
        {
            key: torch.from_numpy(fill.fill(key, tuple(shape))) if key in some else torch.zeros(shape).half()
            for key, shape in keys.items()
        }
    )
    config, state_dict = import_official(path, "de")
    assert len(state_dict) == len(keys) == 640
    denoiser, fusion = DENOISERS.build(config["denoiser"]), FUSIONS.build(config["fusion"])
    parts = torch.nn.ModuleDict({"denoiser": denoiser, "fusion": fusion})
    parts.load_state_dict(state_dict, strict=True)
    for part, module in (("denoiser", denoiser), ("fusion", fusion)):  # the official network is our default
        default = type(module)(bands=bands).state_dict()
        assert {f"{part}.{key}": value.shape for key, value in default.items()}.items() <= {
            key: value.shape for key, value in state_dict.items()
        }.items()
    for official, ours in {
        "input_blocks.7.0.in_layers.2.weight": "denoiser.unet.encoder.7.0.conv1.weight",
        "wc.output_blocks.0.1.qkv.bias": "fusion.unet.decoder.0.1.qkv.bias",
        "out.2.weight": "denoiser.unet.out.2.weight",
        "time_embed.0.bias": "denoiser.unet.time_embed.0.bias",
    }.items():
        np.testing.assert_array_equal(state_dict[ours].numpy(), fill.fill(official, tuple(keys[official])))


def test_prefix_half_precision_and_container_change_nothing(zeros, save):
    torch.manual_seed(0)
    plain = {key: torch.randn(value.shape).half() for key, value in zeros("msda").items()}
    config, expected = import_official(save({key: value.float() for key, value in plain.items()}), "msda")
    wrapped = {"epoch": 3, "state_dict": {f"module.module.{key}": value for key, value in plain.items()}}
    wrapped_config, state_dict = import_official(save(wrapped), "msda")
    assert wrapped_config == config
    assert list(state_dict) == list(expected)
    for key, value in state_dict.items():
        assert value.dtype == torch.float32
        assert torch.equal(value, expected[key]), key


def test_weights_shared_in_the_file_are_copied(zeros, save, tmp_path):
    # The official MPRNet has one PReLU under many names; safetensors refuses tensors that share memory.
    slope = torch.full((1,), 0.25)
    content = {key: slope if value.numel() == 1 else value for key, value in zeros("mpr_net").items()}
    _, state_dict = import_official(save(content), "mpr_net")
    safetensors.torch.save_file(state_dict, tmp_path / "ours.safetensors")
    assert len({value.data_ptr() for value in state_dict.values()}) == len(state_dict)


@pytest.mark.parametrize(("kind", "file"), [(kind, file) for kind in SIZES for file in SIZES if kind != file])
def test_another_kind_is_named(zeros, save, kind, file):
    assert f"looks like {file} weights: import it as {file}" in refusal(save(zeros(file)), kind)


@pytest.mark.parametrize("kind", SIZES)
def test_one_wrong_key_is_an_error_that_names_it(zeros, save, kind):
    content = zeros(kind)
    victim = {"mpr_net": "stage2_decoder.skip_attn2.body.2.weight", "msda": "rdb_module.1_2.conv_att_A.bias"}.get(
        kind, "wc.output_blocks.3.0.in_layers.0.bias"
    )
    renamed = {"mpr_net": "decoders.1.skips.1.conv2.weight", "msda": "blocks.1_2.alpha.bias"}.get(
        kind, "fusion.unet.decoder.3.0.norm1.bias"
    )
    value = content.pop(victim)
    assert f"1 missing (our names): {renamed}" in refusal(save(content), kind)
    assert f"1 unexpected: 'extra.{victim}'" in refusal(
        save({**content, victim: value, f"extra.{victim}": value}), kind
    )
    misshapen = refusal(save({**content, victim: value[None]}), kind)
    assert f"1 of wrong shape: {victim} is {tuple(value[None].shape)}, not {tuple(value.shape)}" in misshapen
    whole_network_twice = {**content, victim: value} | {f"old.{key}": tensor for key, tensor in content.items()}
    assert f"{len(content)} unexpected: " in refusal(save(whole_network_twice), kind)


@pytest.mark.parametrize(
    ("kind", "key"),
    [("mpr_net", "tail.weight"), ("msda", "coefficient"), ("de", "wc.input_blocks.0.0.weight"), ("de", "out.2.weight")],
)
def test_keys_that_tell_the_size(zeros, save, kind, key):
    content = zeros(kind)
    assert f"{key!r} is missing" in refusal(save({name: content[name] for name in content if name != key}), kind)
    refusal(save({**content, key: torch.zeros(())}), kind)
    assert f"{key!r} is an empty tensor" in refusal(save({**content, key: torch.zeros([0] * content[key].ndim)}), kind)


def test_the_same_weight_twice(zeros, save):
    content = zeros("msda")
    content["conv1_atrous.weight"] = content["conv1.weight"]
    assert "the same weight" in refusal(save(content), "msda")


@pytest.mark.parametrize("bad", [torch.tensor(float("nan")), torch.tensor(float("inf"))])
def test_values_that_are_no_numbers(zeros, save, bad):
    content = zeros("msda")
    content["conv_in.bias"] = content["conv_in.bias"].float().index_fill(0, torch.tensor([1]), bad)
    assert "conv_in.bias holds non-finite values" in refusal(save(content), "msda")


def test_integers_are_no_weights(zeros, save):
    content = zeros("msda")
    content["conv_in.bias"] = content["conv_in.bias"].long()
    assert "conv_in.bias holds torch.int64" in refusal(save(content), "msda")


@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_truncated_file(zeros, save, part):
    path = save(zeros("msda"))
    path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])
    assert "cut short: download the file again" in refusal(path, "msda")


@pytest.mark.parametrize(
    "content", [b"<html>404 Not Found</html>", b"\x00" * 1000, b"PK\x03\x04", pickle.dumps([1, 2])]
)
def test_files_of_something_else(tmp_path, content):
    path = tmp_path / "download.pth"
    path.write_bytes(content)
    refusal(path, "mpr_net")


@pytest.mark.parametrize(
    "content", [[torch.zeros(2)], {}, {"a": 1}, {1: torch.zeros(2)}, torch.zeros(3), {"model": {"x": "y"}}]
)
def test_no_state_dict(save, content):
    assert "not a state dict" in refusal(save(content), "mpr_net")


def test_a_key_that_is_no_text(save):
    message = refusal(save({"a": torch.zeros(2), 1: torch.zeros(2), "b": 3}), "mpr_net")
    assert "a key is of type int, not the name of a weight" in message


def test_two_state_dicts_in_one_file(zeros, save):
    message = refusal(save({"model": zeros("msda"), "state_dict": zeros("msda")}), "msda")
    assert "several state dicts ('model', 'state_dict')" in message


class WritesMarker:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return open, (str(self.marker), "w")


@pytest.mark.parametrize("writer", [torch.save, lambda content, path: path.write_bytes(pickle.dumps(content))])
def test_code_in_a_file_never_runs(zeros, tmp_path, writer):
    path, marker = tmp_path / "evil.pth", tmp_path / "marker"
    writer({**zeros("msda"), "conv_in.bias": WritesMarker(marker)}, path)
    pickle.loads(pickle.dumps(WritesMarker(marker)))
    assert marker.exists()  # it is dangerous
    marker.unlink()
    message = refusal(path, "msda")
    assert "could run code" in message or "no PyTorch weights" in message
    assert not marker.exists()


def test_missing_file_and_unknown_kind(tmp_path):
    assert "no such file" in refusal(tmp_path / "nowhere.pth", "msda")
    assert f"{tmp_path} is a folder: give the official file in it" in refusal(tmp_path, "msda")
    with pytest.raises(UserError, match=r"known: .*mpr_net, msda, de"):
        import_official(tmp_path / "nowhere.pth", "memorynet")


def test_subnormal_weights_become_zero():
    from declouds.weights.kinds.official import _to_float32

    values = torch.tensor([1e-40, -1e-40, 1.2e-38, -2.0])
    assert _to_float32("file.pth", "weight", values).tolist() == [0, 0, values[2].item(), -2]
    assert values[0] != 0  # a copy
