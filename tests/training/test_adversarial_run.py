"""A reference trained against a discriminator, within a run of all stages."""

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from safetensors.torch import load_file

from declouds.errors import UserError
from declouds.training.coarse_to_fine import CoarseToFine

AGAINST = """
reference_stages = [
    dict(
        name="reference", train=["reference"], iterations=6, batch_size=2, crop=16, augmentations=_flips,
        lr=dict(reference=1e-3, discriminator=2e-3), losses=[dict(type="L1")],
        discriminator=dict(type="PatchDiscriminator", base=8, halvings=2),
        adversarial_loss=dict(type="WassersteinGAN", weight=0.05), gradient_penalty=10.0,
        param_scheduler=[dict(type="CosineAnnealingLR", T_max=6)],
    ),
    dict(
        name="sharper", train=["reference"], iterations=2, batch_size=2, lr=1e-3, crop=16,
        discriminator=dict(type="PatchDiscriminator", base=8, halvings=2),
        adversarial_loss=dict(type="LeastSquaresGAN", weight=0.05), start_from="raw",
    ),
]
stages = [dict(stages[1], iterations=2), stages[2]]
"""


class Stop(Exception):
    pass


class StopAt(Hook):
    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if batch_idx == 4:
            raise Stop


def train(path, work_dir, resume=False, stop=False):
    run = CoarseToFine(Config.fromfile(path), work_dir)
    if stop:
        own = run.runs[0].hooks
        run.runs[0].hooks = lambda evaluation: [*own(evaluation), StopAt()]
    return run.run(resume)


@pytest.mark.usefixtures("bf16_everywhere")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_both_optimisers_are_resumed(tiny_config, tmp_path, precision):
    config = tiny_config(extra=AGAINST + f"precision = {precision!r}\n")
    unbroken = load_file(train(config, tmp_path / "unbroken"))
    with pytest.raises(Stop):
        train(config, tmp_path / "stopped", stop=True)
    assert (tmp_path / "stopped" / "0_reference" / "iter_4.pth").exists()
    resumed = load_file(train(config, tmp_path / "stopped", resume=True))
    assert all(torch.equal(resumed[key], unbroken[key]) for key in unbroken)
    assert not any(key.startswith("discriminator") for key in unbroken)


def test_a_later_stage_goes_on_with_the_discriminator_of_the_one_before(tiny_config, tmp_path):
    config = tiny_config(
        extra=AGAINST + "reference_stages[1]['lr'] = 1e-12\nstages = []\n"
        "model = dict(type='OnePass', reference=model['reference'])\n"
    )
    train(config, tmp_path / "run")
    first, second = (
        torch.load(tmp_path / "run" / name / "finished.pth", weights_only=True)["raw"]
        for name in ("0_reference", "1_sharper")
    )
    assert {key.split(".")[0] for key in second} == {"reference", "discriminator"}
    assert all(torch.allclose(first[key], second[key], atol=1e-6) for key in first)


def test_two_processes_take_the_steps_of_one(tiny_config, train_process, tmp_path):
    # Without the penalty, whose mixing every process draws for itself, and without Adam, which makes rounding large.
    extra = AGAINST + "_plain = dict(gradient_penalty=0.0, optimizer=dict(type='SGD'))\n"
    extra += "reference_stages = [dict(reference_stages[0], **_plain)]\n"
    config = tiny_config(extra=extra + "stages = []\nmodel = dict(type='OnePass', reference=model['reference'])\n")
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    process = train_process(config, "--work-dir", tmp_path / "two", launcher=torchrun)
    output = process.communicate(timeout=240)[0]
    assert process.returncode == 0, output
    one = load_file(train(config, tmp_path / "one"))
    two = load_file(tmp_path / "two" / "model.safetensors")
    assert all(torch.allclose(one[key], two[key], atol=2e-5) for key in one)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("del reference_stages[0]['adversarial_loss']\n", "discriminator and adversarial_loss must be set together"),
        (
            "stages[0] = dict(stages[0], discriminator=1, adversarial_loss=dict(type='SoftplusGAN'))\n",
            r"only for a stage that trains the reference, with train=\['reference'\]",
        ),
        (
            "stages[0] = dict(stages[0], gradient_penalty=1.0)\n",
            "gradient_penalty: only for a stage that trains the ref",
        ),
        (
            "for _key in ('discriminator', 'adversarial_loss'):\n    del reference_stages[0][_key]\n",
            "needs a discriminator",
        ),
        (
            "for _stage in reference_stages:\n    _stage['discriminator']['type'] = 'PatchDiscriminatr'\n",
            "did you mean 'PatchDiscriminator'",
        ),
        ("reference_stages[0]['adversarial_loss']['type'] = 'WasersteinGAN'\n", "did you mean 'WassersteinGAN'"),
        ("reference_stages[0]['adversarial_loss']['type'] = 'L1'\n", "adversarial_loss L1 is not a loss of logits"),
        ("reference_stages[0]['adversarial_loss']['weight'] = 'big'\n", "a loss must be dict.type=..., weight=NUMBER"),
        ("reference_stages[0]['losses'] = [dict(type='L1', of='attention')]\n", "has no output 'attention' .* L1"),
        (
            "reference_stages[0]['losses'] = [dict(type='KL')]\n",
            "KL is a loss of latent and cannot",
        ),
        ("reference_stages[0]['losses'] = [dict(type='L1', of='latent')]\n", "L1 is a loss of images and cannot"),
        ("reference_stages[0]['losses'] = []\n", "losses must be a non-empty list"),
        ("reference_stages[0]['losses'] = 'L1'\n", "losses must be a non-empty list"),
        ("reference_stages[0]['gradient_penalty'] = -1.0\n", "gradient_penalty must be 0 or more"),
        ("reference_stages[0]['lr']['discriminator'] = 0\n", "discriminator must be a positive number, got 0"),
        ("del reference_stages[0]['lr']['discriminator']\n", "one for each of reference, discriminator"),
        ("stages[0] = dict(stages[0], lr=dict(denoiser=1e-3))\n", "lr must be one number"),
        ("reference_stages[0]['clip_grad'] = 'x'\n", "clip_grad must be a positive number"),
        ("reference_stages[1]['discriminator'] = dict(type='PatchDiscriminator', base=16)\n", "make them equal"),
        ("reference_stages = 5\n", "reference_stages must be a list of stages"),
        ("model['losses'] = [dict(type='L1')]\n", "losses belongs to a stage, not to the model"),
    ],
)
def test_bad_recipes_are_named_before_training(tiny_config, tmp_path, change, message):
    with pytest.raises(UserError, match=message):
        train(tiny_config(extra=AGAINST + change), tmp_path / "bad")
    assert not (tmp_path / "bad").exists()
