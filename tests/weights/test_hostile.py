"""Damaged and hostile weight files: never code that runs, never a file that appears, one error or a valid load."""

import io
import json
import os
import pickle
import zipfile

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from safetensors.torch import save

import declouds
from declouds.errors import UserError
from declouds.evaluation.load_checked import differing_parts
from declouds.models import build_model
from declouds.weights.file import FORMAT, read_weights
from declouds.weights.kinds.import_file import import_file

QUICK = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)


@pytest.fixture
def official(spa_gan_official):
    """The bytes of an official file in today's format, and in the one before."""
    files = {}
    for zipped in (True, False):
        buffer = io.BytesIO()
        torch.save(spa_gan_official(), buffer, _use_new_zipfile_serialization=zipped)
        files[zipped] = buffer.getvalue()
    return files


def safetensors_file(model_config, state_dict, **header):
    metadata = dict(format=FORMAT, config=json.dumps(model_config), record="{}") | header
    return save(state_dict, metadata)


@pytest.fixture(scope="module")
def ours():
    """Config and state dict of a small model."""
    config = dict(type="OnePass", reference=dict(type="SpAGAN", bands=3, features=2), bands=3)
    return config, build_model(config).state_dict()


@pytest.fixture
def attempt(tmp_path, monkeypatch):
    """Functions that import or load bytes: None after an error of one line, and no file may have appeared."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DECLOUDS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "evil_module.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    monkeypatch.syspath_prepend(tmp_path)

    def run(action, content, name):
        path = tmp_path / name
        path.write_bytes(content)
        before = set(os.listdir(tmp_path)) - {"__pycache__"}
        try:
            return action(path)
        except UserError as error:
            assert "\n" not in str(error) and name in str(error)
            return None
        finally:
            assert set(os.listdir(tmp_path)) - {"__pycache__", "out.safetensors"} == before
            (tmp_path / "out.safetensors").unlink(missing_ok=True)

    def bring(path):
        return import_file(path, "spa_gan", path.with_name("out.safetensors"), channel_order="bgr")

    return dict(
        import_=lambda content: run(bring, content, "official.pth"),
        load=lambda content: run(declouds.load_model, content, "ours.safetensors"),
    )


def damaged(draw, content):
    """Cut the file, or change bytes, mostly where its structure is written: at the ends."""
    places = st.one_of(st.integers(0, 2000), st.integers(len(content) - 2000, len(content) - 1)).map(
        lambda place: min(max(place, 0), len(content) - 1)
    )
    if draw(st.booleans()):
        return content[: draw(st.one_of(st.integers(0, len(content) - 1), places))]
    content = bytearray(content)
    for place in draw(st.lists(places, min_size=1, max_size=5)):
        content[place] = draw(st.integers(0, 255))
    return bytes(content)


@QUICK
@given(data=st.data(), zipped=st.booleans())
def test_damaged_official_files(attempt, official, data, zipped):
    weights = attempt["import_"](damaged(data.draw, official[zipped]))
    if weights is not None:  # a changed number, or a byte that no one reads
        assert weights.config["reference"] == dict(type="SpAGAN", bands=3, features=2)


@QUICK
@given(data=st.data())
def test_damaged_files_of_ours(attempt, ours, data):
    model = attempt["load"](damaged(data.draw, safetensors_file(*ours)))
    if model is not None:
        assert {key: value.shape for key, value in model.state_dict().items()} == {
            key: value.shape for key, value in ours[1].items()
        }


@QUICK
@given(content=st.binary(max_size=200))
@example(b"PK\x05\x06" + bytes(18))  # an empty zip
@example((2**62).to_bytes(8, "little") + b"{}")
def test_anything_at_all(attempt, content):
    assert attempt["import_"](content) is None
    assert attempt["load"](content) is None


class Calls:
    """What a pickle turns into a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


CALLS = {
    "open": lambda mark: Calls(open, mark, "w"),
    "system": lambda mark: Calls(os.system, f"touch {mark}"),
    "exec": lambda mark: Calls(exec, f"open({mark!r}, 'w')"),
    "import": lambda mark: Calls(__import__, "evil_module"),
    "torch.save": lambda mark: Calls(torch.save, 1, mark),
    "pickle.loads": lambda mark: Calls(pickle.loads, pickle.dumps(Calls(open, mark, "w"))),
    "from_file": lambda mark: Calls(torch.from_file, mark, True, 8),
}
RAW = {
    "protocol 0": lambda mark: f"cos\nsystem\n(S'touch {mark}'\ntR.".encode(),
    "instance": lambda mark: f"(S'touch {mark}'\nios\nsystem\n.".encode(),
    "object": lambda mark: f"(cos\nsystem\nS'touch {mark}'\no.".encode(),
    "stack global": lambda mark: (
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c" + bytes([len(mark) + 6]) + f"touch {mark}".encode() + b"\x85R."
    ),
    "a module": lambda mark: b"cevil_module\nanything\n.",
}


def in_torch_file(pickled, state_dict):
    """Return a torch file whose pickle is replaced."""
    buffer, result = io.BytesIO(), io.BytesIO()
    torch.save(state_dict, buffer)
    with zipfile.ZipFile(buffer) as old, zipfile.ZipFile(result, "w") as new:
        for name in old.namelist():
            new.writestr(name, pickled if name.endswith("data.pkl") else old.read(name))
    return result.getvalue()


@QUICK
@given(call=st.sampled_from(sorted(CALLS)), place=st.sampled_from(["all", "value", "key", "inside", "beside"]),
       how=st.sampled_from(["zip", "old", *range(6)]))  # fmt: skip
def test_pickles_that_call(attempt, tmp_path, spa_gan_official, call, place, how):
    state = spa_gan_official()
    payload = CALLS[call](str(tmp_path / "ran"))
    content = {
        "all": payload,
        "value": {**state, "gen.gen.conv_in.0.weight": payload},
        "key": {**state, payload: 1},
        "inside": {"state_dict": state, "args": [{"x": (payload,)}]},
        "beside": [state, payload],
    }[place]
    buffer = io.BytesIO()
    if isinstance(how, int):
        pickle.dump(content, buffer, protocol=how)
    else:
        torch.save(content, buffer, _use_new_zipfile_serialization=how == "zip")
    assert attempt["import_"](buffer.getvalue()) is None


@pytest.mark.parametrize("name", RAW)
def test_hostile_opcodes(attempt, tmp_path, spa_gan_official, name):
    pickled = RAW[name](str(tmp_path / "ran"))
    if name != "a module":
        pickle.loads(pickled)
        assert (tmp_path / "ran").exists()  # it is dangerous
        (tmp_path / "ran").unlink()
    assert attempt["import_"](pickled) is None
    assert attempt["import_"](in_torch_file(pickled, spa_gan_official())) is None


PARTS = {
    "os.system": "command",
    "subprocess.getoutput": "cmd",
    "builtins.exec": "source",
    "evil_module": "x",
    "evil_module.anything": "x",
    "evil_module::x": "x",
    "Sequential": "x",
}


@QUICK
@given(name=st.sampled_from(sorted(PARTS)), place=st.sampled_from(["type", "reference", "losses", "deep", "scope"]))
def test_a_config_runs_nothing(attempt, tmp_path, ours, name, place):
    config, state_dict = ours
    part = {"type": name, PARTS[name]: f"touch {tmp_path / 'ran'}"}
    evil = {
        "type": part,
        "reference": {**config, "reference": part},
        "losses": {**config, "losses": [part]},
        "deep": {**config, "reference": {**config["reference"], "features": part}},
        "scope": {**config, "_scope_": name},
    }[place]
    content = safetensors_file(evil, state_dict)
    assert attempt["load"](content) is None
    (tmp_path / "ours.safetensors").write_bytes(content)
    stored = read_weights(tmp_path / "ours.safetensors").config  # reading it is harmless
    with pytest.raises(UserError, match="not a registered part"):
        differing_parts(stored, config)
    assert not (tmp_path / "ran").exists()


@QUICK
@given(
    config=st.recursive(
        st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=3) | st.sampled_from(["OnePass", "SpAGAN"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["type", "reference", "bands", "features", "losses", "value_range"]), inner
            )
        ),
        max_leaves=8,
    )
)
@example({"type": "OnePass", "reference": {"type": "SpAGAN", "features": 0}})
@example({"type": "OnePass", "reference": {"type": "SpAGAN", "features": "a\nb"}})
@example({"type": "OnePass", "reference": {"type": "SpAGAN"}, "value_range": [3, 1]})
@example({"type": "OnePass", "reference": {"type": "SpAGAN", "bands": 3, "features": 2}, "bands": "x"})
def test_configs_that_make_no_sense(attempt, ours, config):
    assert attempt["load"](safetensors_file(config, ours[1])) is None


@pytest.mark.parametrize(
    "header", [dict(format="other"), dict(config="{"), dict(record="[]"), dict(config="[" * 10**5)]
)
def test_headers_that_make_no_sense(attempt, ours, header):
    assert attempt["load"](safetensors_file(*ours, **header)) is None


def test_numbers_of_another_type_are_not_taken(attempt, ours):
    config, state_dict = ours
    whole = {key: value.to(torch.int32) for key, value in state_dict.items()}
    assert attempt["load"](safetensors_file(config, state_dict)) is not None
    assert attempt["load"](safetensors_file(config, whole)) is None
