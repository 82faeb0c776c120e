"""Stages that runs share."""

import json
import shutil
import threading

import pytest
import torch

from declouds.errors import UserError
from declouds.registry import FUSIONS
from declouds.training import checkpoint
from declouds.training.coarse_to_fine import CoarseToFine
from declouds.training.config import load_config
from declouds.training.stage_store import DIGEST, StageStore
from declouds.weights.file import read_weights


def _training(config, work_dir, store, *options):
    return CoarseToFine(load_config(config, list(options)), work_dir, stages=store)


def test_a_second_run_trains_nothing_again_and_ends_in_the_same_weights(tiny_config, tmp_path, capsys):
    store = tmp_path / "stages"
    first = _training(tiny_config(), tmp_path / "a", store).run()
    capsys.readouterr()
    second = _training(tiny_config(), tmp_path / "b", store).run()
    assert capsys.readouterr().out.count("already trained") == 4
    one, other = read_weights(str(first)).state_dict, read_weights(str(second)).state_dict
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert not list((tmp_path / "b").glob("*/iter_*.pth"))


def test_stages_that_an_entry_touches_get_another_digest_and_no_others(tiny_config, tmp_path):
    def digests(*options):
        return _training(tiny_config(), tmp_path / "run", None, *options).stage_digests()

    plain = digests()
    assert len(set(plain)) == 4
    same = {
        "model.eta=0.1": 4,
        "model.sampler.steps=5": 4,
        "num_workers=1": 4,
        "val.images=1": 4,
        "model.fusion.base=16": 2,  # reference and coarse stay
        "model.denoiser.base=16": 1,  # the reference stays
        "stages.1.iterations=7": 1,
        "stages.2.iterations=7": 2,
        "model.degrade_prior={'blur': 1.0}": 2,
        "model.reference.base=16": 0,
        "seed=4": 0,
        "datamodule.size=48": 0,
    }
    for option, count in same.items():
        changed = [mine == theirs for mine, theirs in zip(plain, digests(option), strict=True)]
        expected = [False, True, False, False] if option.startswith("model.reference") else None
        assert changed == (expected or [index < count for index in range(4)]), option


def test_a_finished_run_fills_the_store(tiny_config, tmp_path):
    _training(tiny_config(), tmp_path / "a", None).run()
    store = tmp_path / "stages"
    training = _training(tiny_config(), tmp_path / "a", store)
    training.run(resume=True)
    for digest in training.stage_digests():
        assert StageStore(store).weights(digest).exists()
        about = json.loads((store / f"{digest}.json").read_text())
        assert about["trained_in"] == str(tmp_path / "a" / about["stage"])


def test_the_source_of_a_part_that_is_not_ours_and_files_that_a_config_names_are_in_the_digest(
    tiny_config, tmp_path, monkeypatch
):
    own = tmp_path / "own_fusion_of_a_test.py"
    own.write_text(
        "import torch\nfrom declouds.registry import FUSIONS\n"
        "@FUSIONS.register_module(force=True)\nclass OwnOfATest(torch.nn.Module):\n"
        "    def __init__(self, priors='', bands=3):\n        super().__init__()\n"
        "        self.weight = torch.nn.Parameter(torch.zeros(bands, 1, 1))\n"
        "    def forward(self, clear_hat, prior, x_t, t, cloudy):\n        return self.weight.expand_as(prior)\n"
    )
    priors = tmp_path / "priors"
    priors.mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(FUSIONS, "_module_dict", dict(FUSIONS.parts()))
    extra = f"""
custom_imports = dict(imports=["own_fusion_of_a_test"])
model["fusion"] = dict(type="OwnOfATest", priors={str(priors)!r})
"""

    def digests():
        return _training(tiny_config(extra=extra), tmp_path / "run", None).stage_digests()

    first = digests()
    own.write_text(own.read_text() + "# mended\n")
    second = digests()
    (priors / "1.png").write_bytes(b"1")
    third = digests()
    assert first[:2] == second[:2] == third[:2]  # the stages that do not use it
    assert all(len({one, other, last}) == 3 for one, other, last in zip(first[2:], second[2:], third[2:], strict=True))


def test_a_stage_that_was_begun_as_another_is_not_put_into_the_store(tiny_config, tmp_path):
    training = _training(tiny_config(), tmp_path / "a", tmp_path / "stages")
    training.run()
    shutil.rmtree(tmp_path / "stages")
    (tmp_path / "a" / "1_coarse" / DIGEST).write_text("of other data")
    training = _training(tiny_config(), tmp_path / "a", tmp_path / "stages")
    training.run(resume=True)
    kept = [StageStore(tmp_path / "stages").weights(digest).exists() for digest in training.stage_digests()]
    assert kept == [True, False, True, True]


def test_a_stage_is_claimed_by_one_at_a_time(tmp_path):
    store, order = StageStore(tmp_path), []

    def other():
        with store.claimed("x"):
            order.append("other")

    with store.claimed("x"):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join(timeout=0.3)
        assert thread.is_alive()
        order.append("first")
    thread.join(timeout=180)
    assert order == ["first", "other"]


def test_a_broken_file_of_the_store_is_named(tiny_config, tmp_path):
    store = tmp_path / "stages"
    training = _training(tiny_config(), tmp_path / "a", store)
    store.mkdir()
    broken = store / f"{training.stage_digests()[0]}.pth"
    broken.write_bytes(b"half")
    with pytest.raises(Exception, match=broken.name):
        training.run()


def test_a_disk_that_is_full_is_told_in_one_line_and_leaves_nothing(tmp_path, monkeypatch):
    def full(content, file):
        file.write(b"half")
        raise RuntimeError("[enforce fail at inline_container.cc:671] . unexpected pos 412992 vs 412880\nframe #0")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(
        UserError, match=r"x\.pth cannot be written .*412880\): free disk space, then continue with --resume"
    ):
        checkpoint.atomic_save({}, tmp_path / "x.pth")
    assert not list(tmp_path.iterdir())
