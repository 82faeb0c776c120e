"""Times and noise of training: every run, stage, process and iteration has its own, the same after a resume."""

import sys
from itertools import combinations, product

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from declouds.models import DiffusionEnhancement
from declouds.training.coarse_to_fine import CoarseToFine

SIZE = 4096  # numbers of a draw that are compared


@pytest.fixture
def draw(monkeypatch):
    """Return a function that draws times and noise as an iteration of a process would."""
    kind = HOOKS.get("SeedIterations")

    def of(seed, stage, rank, iteration):
        monkeypatch.setattr(sys.modules[kind.__module__], "get_rank", lambda: rank)
        kind(seed, stage).before_train_iter(None, iteration)
        return torch.randint(1000, (SIZE,)), torch.randn(SIZE)

    with torch.random.fork_rng(devices=[]):
        yield of


def test_no_two_places_share_their_draws(draw):
    places = list(product((0, 1), (0, 1), (0, 1, 11), (0, 1, 10, 11)))  # seed, stage, rank, iteration
    drawn = [draw(*place) for place in places]
    for (t, noise), (other_t, other_noise) in combinations(drawn, 2):
        assert (t == other_t).float().mean() < 0.01  # one of a thousand by chance
        assert abs(float((noise * other_noise).mean())) < 6 / SIZE**0.5


def test_the_draws_of_a_place_do_not_depend_on_what_came_before(draw):
    t, noise = draw(3, 1, 1, 500)
    draw(3, 1, 0, 499)
    torch.randn(17)
    again_t, again_noise = draw(3, 1, 1, 500)
    assert torch.equal(t, again_t) and torch.equal(noise, again_noise)


class Stopped(Exception):
    pass


@HOOKS.register_module()
class StopOfTests(Hook):
    """Stops the run after the fourth iteration, while it is armed."""

    armed = False

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if self.armed and batch_idx == 3:
            raise Stopped


@pytest.fixture(autouse=True, scope="module")
def leave_no_hook_behind():
    yield
    HOOKS.module_dict.pop("StopOfTests")


def test_a_resumed_run_draws_what_an_unbroken_one_does(tiny_config, tmp_path, monkeypatch):
    only_the_denoiser = (
        "model.update(reference=None, fusion=None)\ndel reference_weights\n"
        "stages = [dict(stages[1], iterations=6, val_interval=None)]\n"
        "custom_hooks = [dict(type='StopOfTests')]\n"
    )
    config, drawn = tiny_config(extra=only_the_denoiser), []
    losses = DiffusionEnhancement.losses_per_image

    def watched(self, clear, cloudy, noise, t, **more):
        drawn.append((t.tolist(), noise.flatten().tolist()))
        return losses(self, clear, cloudy, noise, t, **more)

    monkeypatch.setattr(DiffusionEnhancement, "losses_per_image", watched)

    def train(work_dir, resume=False):
        drawn.clear()
        CoarseToFine(Config.fromfile(config), work_dir).run(resume)
        return list(drawn)

    unbroken = train(tmp_path / "unbroken")
    assert len(unbroken) == 6 and len({tuple(t) for t, _ in unbroken}) == 6
    monkeypatch.setattr(StopOfTests, "armed", True)
    with pytest.raises(Stopped):
        train(tmp_path / "stopped")
    monkeypatch.setattr(StopOfTests, "armed", False)
    torch.randn(5)
    assert train(tmp_path / "stopped", resume=True) == unbroken[2:]  # the last checkpoint is of iteration 2
