"""A step in chunks is the step of the whole batch."""

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from safetensors.torch import load_file

from declouds.errors import UserError
from declouds.training.coarse_to_fine import CoarseToFine

# Without dropout, whose masks are drawn chunk by chunk, and without Adam, which makes rounding large.
PLAIN = """
model["denoiser"]["dropout"] = 0.0
stages = [dict(stage, batch_size=4, lr=0.05, optimizer=dict(type="SGD", momentum=0.9)) for stage in stages]
"""
IN_CHUNKS = PLAIN + "stages = [dict(stage, accumulate=chunks) for stage, chunks in zip(stages, (2, 4, 4, 2))]\n"


def train(path, work_dir, resume=False, stop_at=None):
    run = CoarseToFine(Config.fromfile(path), work_dir)
    if stop_at is not None:
        own = run.runs[1].hooks
        run.runs[1].hooks = lambda evaluation: [*own(evaluation), StopAt(stop_at)]
    return run.run(resume)


class Stop(Exception):
    pass


class StopAt(Hook):
    def __init__(self, iteration):
        self.iteration = iteration

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if batch_idx == self.iteration:
            raise Stop


def test_a_step_in_chunks_is_that_of_the_whole_batch(tiny_config, tmp_path):
    whole = load_file(train(tiny_config(extra=PLAIN), tmp_path / "whole"))
    parts = load_file(train(tiny_config(extra=IN_CHUNKS), tmp_path / "parts"))
    assert all(torch.allclose(parts[key], whole[key], rtol=0, atol=1e-6) for key in whole)


@pytest.mark.usefixtures("bf16_everywhere")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_run_in_chunks_is_resumed_exactly(tiny_config, tmp_path, precision):
    config = tiny_config(extra=f"precision = {precision!r}\nstages = [dict(stage, accumulate=2) for stage in stages]\n")
    unbroken = load_file(train(config, tmp_path / "unbroken"))
    with pytest.raises(Stop):
        train(config, tmp_path / "stopped", stop_at=4)
    resumed = load_file(train(config, tmp_path / "stopped", resume=True))
    assert all(torch.equal(resumed[key], unbroken[key]) for key in unbroken)


def test_chunks_on_two_processes(tiny_config, train_process, tmp_path):
    only = "stages = stages[:1]\nmodel = dict(type='OnePass', reference=model['reference'])\n"
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    config = tiny_config(extra=IN_CHUNKS + only)
    process = train_process(config, "--work-dir", tmp_path / "two", launcher=torchrun)
    output = process.communicate(timeout=240)[0]
    assert process.returncode == 0, output
    one = load_file(train(tiny_config(extra=PLAIN + only), tmp_path / "one"))
    two = load_file(tmp_path / "two" / "model.safetensors")
    assert all(torch.allclose(one[key], two[key], rtol=0, atol=1e-6) for key in one)


ADVERSARIAL = """
stages[0].update(
    discriminator=dict(type="PatchDiscriminator", base=8, halvings=2), adversarial_loss=dict(type="SoftplusGAN")
)
"""


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ("stages[1]['accumulate'] = 3\n", "stage coarse: the 4 images of a step .* accumulate=3 equal chunks: choose"),
        ("stages[1]['accumulate'] = 0\n", "stage coarse: accumulate must be at least 1, got 0"),
        ("stages[1]['accumulate'] = 2.0\n", "stage coarse: accumulate must be an integer, got 2.0"),
        ("stages[0]['accumulate'] = 2\n" + ADVERSARIAL, "accumulate=2 does not work with a discriminator"),
    ],
)
def test_what_cannot_be_split_is_refused_before_training(tiny_config, tmp_path, extra, message):
    with pytest.raises(UserError, match=message):
        train(tiny_config(extra=extra), tmp_path / "bad")
    assert not (tmp_path / "bad").exists()


def test_a_step_that_does_not_fit_the_memory_is_told_with_what_helps(tiny_config, tmp_path):
    class Full(Hook):
        def before_train_iter(self, runner, batch_idx, data_batch=None):
            raise torch.OutOfMemoryError("CUDA out of memory")

    run = CoarseToFine(Config.fromfile(tiny_config()), tmp_path / "run")
    own = run.runs[0].hooks
    run.runs[0].hooks = lambda evaluation: [*own(evaluation), Full()]
    with pytest.raises(UserError, match=r"stage reference: a step of \d+ images does not fit .* accumulate=2 or"):
        run.run()
