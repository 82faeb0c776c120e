"""Config files and their overrides: read as they are written, or refused in one line."""

import pytest

from declouds.errors import UserError
from declouds.training.config import load_config


def test_overrides_keep_spaces_and_commas_and_read_numbers(tiny_config):
    options = [
        "datamodule.root=/my data/a,b",
        "stages.0.iterations=7",
        "ema.decay=0.5",
        "precision=bf16",
        "val.images=None",
    ]
    config = load_config(tiny_config(), options)
    assert config.datamodule.root == "/my data/a,b"
    assert config.stages[0].iterations == 7
    assert (config.ema.decay, config.precision, config.val.images) == (0.5, "bf16", None)


@pytest.mark.parametrize(
    ("extra", "options", "message"),
    [
        (
            "chekpoint_interval = 1\n",
            [],
            "unknown config key 'chekpoint_interval': did you mean 'checkpoint_inter",
        ),
        ("seed = -1\n", [], r"seed must be an integer from 0 to 2\*\*32 - 1, got -1"),
        ("def broken(:\n", [], "is not a readable config: SyntaxError"),
        ("", ["stages.9.lr=1"], "--cfg-options do not fit"),
        ("", ["seed"], "--cfg-options takes KEY=VALUE, got 'seed'"),
        ("del stages\n", [], "lacks stages"),
        (
            'custom_imports = dict(imports=["no_such_module"])\n',
            [],
            "no_such_module cannot be imported: ModuleNotFound",
        ),
    ],
)
def test_mistakes_are_named(tiny_config, extra, options, message):
    with pytest.raises(UserError, match=message):
        load_config(tiny_config(extra=extra), options)


def test_a_config_may_import_what_it_likes(tiny_config):
    assert load_config(tiny_config(extra="import os\nseed = len(os.sep)\n")).seed == 1


@pytest.mark.parametrize("seed", [0, 20261122, 2**32 - 1])
def test_every_seed_seeds_every_iteration_differently(seed):
    import torch

    from declouds.training.hooks import SeedIterations

    drawn = set()
    for stage in range(2):
        for iteration in range(20):
            SeedIterations(seed, stage).before_train_iter(None, iteration)
            drawn.add(float(torch.rand(1, dtype=torch.float64)))
    assert len(drawn) == 40


def test_a_lazy_config_of_mmengine_reads_like_a_plain_one(tmp_path):
    """Bases by `read_base`, and parts by their classes."""
    (tmp_path / "base.py").write_text("seed = 5\ndatamodule = dict(type='Simulated', size=32)\n")
    lazy = tmp_path / "lazy.py"
    lazy.write_text(
        """
from mmengine.config import read_base
from declouds.references.gain_offset_unet import GainOffsetUNet

with read_base():
    from .base import *

datamodule.update(size=48)
model = dict(type="OnePass", reference=dict(type=GainOffsetUNet, base=8))
stages = [dict(name="first", train=["reference"], iterations=3, batch_size=2, lr=1e-3)]
"""
    )
    config = load_config(lazy, ["stages.0.iterations=7"])
    assert config.seed == 5 and config.datamodule == dict(type="Simulated", size=48)
    assert config.model.reference == dict(type="GainOffsetUNet", base=8)
    assert config.stages[0].iterations == 7
    config.dump(tmp_path / "again.py")
    assert load_config(tmp_path / "again.py").to_dict() == config.to_dict()
    lazy.write_text("from mmengine.config import read_base\nwith read_base():\n    from .none import *\n")
    with pytest.raises(UserError, match=r"lazy\.py is not a readable config"):
        load_config(lazy)
