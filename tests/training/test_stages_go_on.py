"""What a stage is started from: other data are noticed, trained weights are continued, a stage can be lengthened."""

import json

import numpy as np
import pytest
import torch
from mmengine.config import Config
from safetensors.torch import load_file

from declouds.datamodules.simulated import Simulated
from declouds.errors import UserError
from declouds.image_io import read_image, write_image
from declouds.registry import DATAMODULES
from declouds.training.coarse_to_fine import CoarseToFine
from declouds.training.config import load_config
from declouds.training.runner import StageLoop
from declouds.training.training_data import TrainingPatches

ONE_PASS = """
seed = 3
num_workers = 0
log_interval = 2
checkpoint_interval = 2
val = dict(images=1, panels=0)
datamodule = dict(type="PairedFolder", root={root!r}, value_range=[0, 255], val=None)
_size = dict(base=8, multipliers=(1, 2), blocks=1, attention_at=())
model = dict(type="OnePass", reference=dict(type="GainOffsetUNet", **_size))
stages = [
    dict(name="first", train=["reference"], iterations=3, batch_size=2, lr=1e-3, crop=16),
    dict(name="second", train=["reference"], iterations=4, batch_size=2, lr=1e-3, crop=16),
]
"""


@pytest.fixture
def pairs(tmp_path):
    for side in ("cloud", "label"):
        (tmp_path / "data" / side).mkdir(parents=True)
        for number in range(8):
            pixels = np.random.default_rng([number, side == "cloud"]).integers(0, 255, (3, 24, 24)).astype(np.uint8)
            write_image(tmp_path / "data" / side / f"{number}.png", pixels)
    split(tmp_path, "0123")
    return tmp_path


def split(folder, train):
    names = dict(train=list(train), test=[name for name in "01234567" if name not in train])
    (folder / "data" / "split.json").write_text(json.dumps(names))


def config(pairs, extra=""):
    path = pairs / "config.py"
    path.write_text(ONE_PASS.format(root=str(pairs / "data")) + extra)
    return path


def test_a_run_is_not_resumed_with_another_split(pairs):
    path = config(pairs)
    CoarseToFine(Config.fromfile(path), pairs / "run").run()
    before = load_file(pairs / "run" / "model.safetensors")
    CoarseToFine(Config.fromfile(path), pairs / "run").run(resume=True)
    split(pairs, "4567")
    with pytest.raises(UserError, match=r"stage first was started with other data.*another --work-dir"):
        CoarseToFine(Config.fromfile(path), pairs / "run").run(resume=True)
    after = load_file(pairs / "run" / "model.safetensors")
    assert all(torch.equal(after[key], before[key]) for key in before)


def test_data_that_were_moved_are_the_same(pairs):
    """The folder, and the spelling of its path, are no part of what a stage is known by; the files are."""
    longer = "stages[1]['iterations'] = 6\n"
    CoarseToFine(Config.fromfile(config(pairs)), pairs / "run").run()
    digests = CoarseToFine(Config.fromfile(config(pairs)), pairs / "other").stage_digests()
    (pairs / "data").rename(pairs / "moved")
    moved = config(pairs, longer + f"datamodule['root'] = {str(pairs / 'moved')!r}\n")
    assert CoarseToFine(Config.fromfile(moved), pairs / "other").stage_digests()[0] == digests[0]
    weights = CoarseToFine(Config.fromfile(moved), pairs / "run").run(resume=True)
    assert json.loads((pairs / "run" / "1_second" / "inputs.json").read_text())["iterations"] == 6 and weights.is_file()
    image = read_image(pairs / "moved" / "cloud" / "2.png")
    write_image(pairs / "moved" / "cloud" / "2.png", 255 - image, overwrite=True)
    with pytest.raises(UserError, match="stage first was started with other data"):
        CoarseToFine(Config.fromfile(moved), pairs / "run").run(resume=True)
    again = config(pairs, longer + f"datamodule.update(value_range=[0, 200], root={str(pairs / 'moved')!r})\n")
    with pytest.raises(UserError, match=r"another config .datamodule"):
        CoarseToFine(Config.fromfile(again), pairs / "run").run(resume=True)


def test_the_last_stage_can_be_lengthened(pairs):
    longer = "stages[1]['iterations'] = 6\n"
    whole = CoarseToFine(Config.fromfile(config(pairs, longer)), pairs / "whole").run()
    CoarseToFine(Config.fromfile(config(pairs)), pairs / "run").run()
    short = load_file(pairs / "run" / "model.safetensors")
    path = config(pairs, longer)
    with pytest.raises(UserError, match="continue with --resume"):
        CoarseToFine(Config.fromfile(path), pairs / "run").run()
    lengthened = load_file(CoarseToFine(Config.fromfile(path), pairs / "run").run(resume=True))
    expected = load_file(whole)
    assert all(torch.equal(lengthened[key], expected[key]) for key in expected)
    assert any(not torch.equal(lengthened[key], short[key]) for key in expected)
    with pytest.raises(UserError, match="another config"):
        CoarseToFine(Config.fromfile(config(pairs, "stages[0]['iterations'] = 6\n")), pairs / "run").run(resume=True)


def test_training_starts_from_trained_weights(pairs):
    first = CoarseToFine(Config.fromfile(config(pairs)), pairs / "run").run()
    extra = f"load_from = {str(first)!r}\nstages = [dict(stages[0], lr=1e-9)]\n"
    tuned = load_file(CoarseToFine(Config.fromfile(config(pairs, extra)), pairs / "tuned").run())
    start = load_file(first)
    assert all(torch.allclose(tuned[key], start[key], atol=1e-6) for key in start)
    assert any(not torch.equal(tuned[key], start[key]) for key in start), "it was trained further"
    for wrong, message in (("5", "load_from=5"), ("dict(fusion='x')", "load_from.fusion")):
        with pytest.raises(UserError, match=message):
            CoarseToFine(Config.fromfile(config(pairs, f"load_from = {wrong}\n")), pairs / "bad")
    assert not (pairs / "bad").exists()


class MoreBands(Simulated):
    """A data set whose cloudy images have two bands more than the clear ones."""

    def setup(self, stage=None):
        super().setup(stage)
        for part in ("train", "val", "test"):
            if (images := getattr(self, f"{part}_dataset", None)) is not None:
                setattr(self, f"{part}_dataset", FiveBands(images))


class FiveBands(torch.utils.data.Dataset):
    def __init__(self, images):
        self.images, self.names = images, images.names

    def __getattr__(self, name):
        return getattr(self.__dict__["images"], name)

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        sample = self.images[index]
        return dict(sample, cloudy=torch.cat([sample["cloudy"], sample["cloudy"][:2]]))


def test_more_cloudy_bands_than_clear_ones_train(pairs):
    DATAMODULES.register_module(module=MoreBands, force=True)
    try:
        data = "datamodule = dict(type='MoreBands', size=24, train=4, val=1, test=1)\n"
        run = CoarseToFine(Config.fromfile(config(pairs, data)), pairs / "run")
        assert (run.settings.model_config["bands"], run.settings.model_config["in_bands"]) == (3, 5)
        assert run.run().is_file()
    finally:
        del DATAMODULES.module_dict["MoreBands"]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("precision=true", "precision must be .fp32., .bf16. or .auto., got True"),
        ("ema=true", "ema must be dict.decay=NUMBER., or None"),
        ("val=none", "val must be dict"),
        ("num_workers=two", "num_workers must be an integer, got 'two'"),
        ("log_interval=1.5", "log_interval must be an integer number of iterations"),
        ("stages.9.lr=1", "--cfg-options do not fit"),
        ("modell.eta=1", "unknown config key 'modell': did you mean 'model'"),
    ],
)
def test_values_of_a_wrong_kind_are_named_before_anything_is_made(pairs, option, message):
    with pytest.raises(UserError, match=message):
        load_config(config(pairs), [option])


def test_words_for_true_false_and_none_are_understood(pairs):
    loaded = load_config(config(pairs), ["datamodule.cache=false", "ema=none"])
    assert loaded.datamodule.cache is False and loaded.ema is None


def test_a_loss_that_is_not_finite_is_found_without_asking_every_time():
    loop = StageLoop.__new__(StageLoop)
    loop.iter, loop._first_bad = 0, None
    for loop.iter, value in enumerate((1.0, float("nan"), 2.0, float("inf"))):
        loop._note_losses(dict(loss=torch.tensor(value), other=torch.tensor([0.5])))
    with pytest.raises(UserError, match="non-finite loss at iteration 1:"):
        loop.check_losses()
    loop._first_bad = None
    loop._note_losses(dict(loss=torch.tensor(1e30)))
    loop.check_losses()


class Counted(torch.utils.data.Dataset):
    def __len__(self):
        return 64

    def __getitem__(self, index):
        image = torch.arange(32 * 32, dtype=torch.float32).reshape(1, 32, 32) / 1024
        return dict(cloudy=image, clear=image, name=str(index))


def test_stages_and_seeds_see_orders_and_crops_of_their_own():
    """As a shift of each other they would agree at some offset: 64 images in the same order, again and again."""

    def seen(seed, stage, count=128):
        patches = TrainingPatches(Counted(), crop=4, seed=seed, stage=stage)
        return [(patches.index_of(position), float(patches[position]["clear"].min())) for position in range(count)]

    kinds = {(seed, stage): seen(seed, stage) for seed in (0, 1) for stage in (0, 1)}
    assert kinds[0, 0] == seen(0, 0)
    for one in kinds:
        for other in kinds:
            for shift in range(-3, 4) if one != other else (1, 2, 64):
                pairs = list(zip(kinds[one][max(shift, 0) :], kinds[other][max(-shift, 0) :], strict=False))
                assert sum(a[0] == b[0] for a, b in pairs) < 12, "images in the same order"
                assert sum(a[1] == b[1] for a, b in pairs) < 8, "crops at the same position"
