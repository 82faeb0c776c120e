"""Between two logs an iteration asks the device for no value: each such question would wait for a GPU."""

import pytest
import torch
from mmengine.config import Config
from torch.utils._python_dispatch import TorchDispatchMode

from declouds.training.coarse_to_fine import CoarseToFine
from declouds.training.runner import StageLoop

READS = {"_local_scalar_dense", "is_nonzero", "nonzero", "masked_select", "equal", "unique_dim", "_unique2"}


class Watch(TorchDispatchMode):
    """Notes the iterations in which a value is read by an operator, such as that behind ``float(tensor)``."""

    def __init__(self, noted, iteration):
        super().__init__()
        self.noted, self.iteration = noted, iteration

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function.overloadpacket.__name__ in READS:
            self.noted.add(self.iteration)
        return function(*args, **(kwargs or {}))


@pytest.fixture
def read_in(monkeypatch):
    """The (stage, iteration) in which values were read."""
    noted, at, run_iter = set(), [], StageLoop.run_iter

    def watched(loop, batch):
        at[:] = [(loop.runner.work_dir.split("/")[-1], loop.iter)]
        with Watch(noted, at[0]):
            run_iter(loop, batch)
        at.clear()

    monkeypatch.setattr(StageLoop, "run_iter", watched)
    for name in ("item", "tolist", "cpu", "numpy", "__bool__", "__float__", "__int__"):
        own = getattr(torch.Tensor, name)
        noting = lambda *args, own=own, **more: (noted.update(at), own(*args, **more))[1]  # noqa: E731
        monkeypatch.setattr(torch.Tensor, name, noting)
    return noted


STAGES = """
log_interval, checkpoint_interval = 3, 1000
stages = [dict(stage, iterations=8, val_interval=None, clip_grad=1.0) for stage in stages]
stages[1]["accumulate"] = 2
stages[2]["augmentations"] = []
"""
ADVERSARIAL = """
stages[0].update(
    discriminator=dict(type="PatchDiscriminator", base=8, halvings=2), gradient_penalty=10.0,
    adversarial_loss=dict(type="SoftplusGAN"),
)
"""


@pytest.mark.usefixtures("bf16_everywhere")
@pytest.mark.parametrize("extra", ["", "precision = 'bf16'\n" + ADVERSARIAL])
def test_values_are_read_when_a_log_is_due_and_not_between(tiny_config, tmp_path, read_in, extra):
    CoarseToFine(Config.fromfile(tiny_config(extra=STAGES + extra)), tmp_path / "run").run()
    for stage in ("0_reference", "1_coarse", "2_fusion", "3_fine"):
        iterations = {iteration for name, iteration in read_in if name == stage}
        assert iterations == {0, 2, 5, 7}, stage  # the first, for the display; the last; and every third
