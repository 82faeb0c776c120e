"""The exponential moving average of the weights, against its closed form."""

from math import factorial
from types import SimpleNamespace

import pytest
import torch
from mmengine.registry import HOOKS
from torch import nn

import declouds.training.coarse_to_fine  # noqa: F401 (registers the hooks)


class Model(nn.Module):
    """Two parts, of which one is trained."""

    trained = frozenset({"denoiser"})

    def __init__(self):
        super().__init__()
        self.denoiser, self.reference = nn.Linear(2, 1), nn.Linear(2, 1)
        self.set(0.0)

    @torch.no_grad()
    def set(self, value):
        for parameter in self.parameters():
            parameter.fill_(value)


def averaging(model, decay):
    hook, runner = HOOKS.build(dict(type="AverageWeights", decay=decay)), SimpleNamespace(bare_model=model)
    hook.before_run(runner)
    return hook, runner


def train(hook, runner, values):
    for index, value in enumerate(values):
        runner.bare_model.set(value)
        hook.after_train_iter(runner, index)


def only(state):
    """Return the one number that all these weights are."""
    (value,) = {value for tensor in state.values() for value in tensor.flatten().tolist()}
    return value


def average(hook):
    return only(hook.part_state_dict())


def test_the_decay_rises_before_it_is_constant():
    """Weights of 0 once, then of 1: the average is 1 less all the decays, k / (k + 9) in iteration k up to 1/2 in 9."""
    hook, runner = averaging(Model(), decay=0.5)
    train(hook, runner, [0.0])
    for iteration in range(2, 15):
        train(hook, runner, [1.0])
        rising, constant = min(iteration, 8), max(iteration - 8, 0)
        left = factorial(rising) * factorial(10) / factorial(rising + 9) * 0.5**constant
        assert average(hook) == pytest.approx(1 - left, rel=1e-6)


def test_the_first_iteration_is_the_whole_average_and_changing_weights_follow_the_recursion():
    hook, runner = averaging(Model(), decay=0.3)
    values, expected = [5.0, -1.0, 2.5, 4.0, 0.25, 8.0], None
    for iteration, value in enumerate(values, start=1):
        train(hook, runner, [value])
        decay = min(0.3, iteration / (iteration + 9))
        expected = value if expected is None else decay * expected + (1 - decay) * value
        assert average(hook) == pytest.approx(expected, rel=1e-6)


def test_only_what_is_trained_is_averaged():
    hook, runner = averaging(Model(), decay=0.9)
    train(hook, runner, [1.0, 2.0])
    assert set(hook.part_state_dict()) == {"denoiser.weight", "denoiser.bias"}
    hook.before_val(runner)
    assert only(runner.bare_model.reference.state_dict()) == 2
    assert only(runner.bare_model.denoiser.state_dict()) == pytest.approx(2 / 11 * 1 + 9 / 11 * 2)
    hook.after_val(runner)
    assert only(runner.bare_model.state_dict()) == 2


def test_it_goes_on_from_what_was_saved():
    values = [3.0, -2.0, 7.0, 1.0, 0.5]
    unbroken, runner = averaging(Model(), decay=0.9)
    train(unbroken, runner, values)
    before, runner = averaging(Model(), decay=0.9)
    train(before, runner, values[:3])
    after, runner = averaging(Model(), decay=0.9)
    after.load_state_dict({key: value.clone() for key, value in before.state_dict().items()})
    train(after, runner, values[3:])
    assert average(after) == average(unbroken)
