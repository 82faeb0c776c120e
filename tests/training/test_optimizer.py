"""The optimiser of a stage: fused where torch can, with the weights of the plain one."""

import pytest
import torch
from mmengine.config import Config
from safetensors.torch import load_file

from declouds.training.coarse_to_fine import CoarseToFine
from declouds.training.stage import Stage


def optimizer_of(optimizer):
    stage = Stage("coarse", ("denoiser",), iterations=1, batch_size=1, lr=1e-3, optimizer=optimizer)
    return stage.optim_wrapper("fp32")["optimizer"]


@pytest.mark.parametrize(
    ("optimizer", "fused"),
    [
        (None, True),
        (dict(type="AdamW", betas=(0.9, 0.9)), True),
        (dict(type="Adam"), True),
        (dict(type="AdamW", fused=False), False),
        (dict(type="AdamW", foreach=True), None),
        (dict(type="SGD"), None),
        (dict(type="Adagrad"), None),  # fused on the CPU alone
    ],
)
def test_it_is_fused_where_it_works_and_nothing_else_is_asked_for(optimizer, fused):
    config = optimizer_of(optimizer)
    assert config.get("fused") is fused
    assert optimizer is None or optimizer.items() <= config.items()
    built = getattr(torch.optim, config.pop("type"))([torch.nn.Parameter(torch.ones(2))], **config)
    built.param_groups[0]["params"][0].grad = torch.ones(2)
    built.step()


def test_its_weights_are_those_of_the_plain_one_to_rounding(tiny_config, tmp_path):
    def train(folder, extra):
        # Adam divides by the size of a gradient, which is rounding alone where the gradient is 0 without it.
        common = "stages = stages[1:2]\nmodel.update(reference=None, fusion=None)\ndel reference_weights\n"
        common += "stages[0].update(optimizer=dict(type='AdamW', weight_decay=0.1, eps=1e-4))\n"
        config = Config.fromfile(tiny_config(extra=common + extra))
        return load_file(CoarseToFine(config, tmp_path / folder).run())

    fused, plain = train("fused", ""), train("plain", "stages[0]['optimizer']['fused'] = False\n")
    assert all(torch.allclose(fused[key], plain[key], rtol=0, atol=1e-6) for key in plain)
    assert any(not torch.equal(fused[key], plain[key]) for key in plain), "another kernel did the work"
