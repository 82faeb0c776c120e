"""The fewest sampling steps that are enough, and whether bfloat16 is."""

import pytest
from torch import nn

from declouds.evaluation.inference_search import search_inference


class Sampled(nn.Module):
    """Stands for a model whose results depend on its steps and precision alone."""

    method, precision, steps = "DE", "fp32", 10

    def set_steps(self, steps):
        self.steps = steps

    def existing_parts(self):
        return []


def rows(*psnr):
    return [{"name": str(number), "official.psnr": value} for number, value in enumerate(psnr)]


SCORES = {
    10: rows(30, 31, 32, 33, 34, 35),
    5: rows(30, 31.01, 32, 32.99, 34, 35),
    2: rows(29.985, 30.985, 31.985, 32.985, 33.985, 34.985),
    1: rows(31, 30, 33, 32, 35, 34),  # as good in the mean, but that could be chance
}


@pytest.fixture(autouse=True)
def with_bf16(monkeypatch):
    monkeypatch.setattr("declouds.evaluation.inference_search.has_bf16", lambda device: True)


@pytest.mark.parametrize(("steps", "enough"), [([10, 5, 2, 1], 2), ([1, 10], 10), ([5, 10], 5), ([1, 2], 2), ([5], 5)])
def test_the_fewest_steps_that_lose_nothing(steps, enough):
    model = Sampled()
    found = search_inference(model, steps, lambda model, name: SCORES[model.steps], with_bf16=False)
    assert found.found == {"steps": enough} and model.steps == enough
    assert len(found.compared) == len(steps) - 1 and list(found.methods)[-1].split()[0] == str(enough)


@pytest.mark.parametrize(("loss", "safe"), [(0.0, True), (0.015, True), (-1.0, True), (0.03, False)])
def test_bfloat16_is_compared_at_the_steps_that_are_enough(monkeypatch, loss, safe):
    def evaluate(model, name):
        lost = loss if model.precision == "bf16" else 0
        return [row | {"official.psnr": row["official.psnr"] - lost} for row in SCORES[model.steps]]

    model = Sampled()
    found = search_inference(model, [10, 2], evaluate, with_bf16=True)
    assert found.found == {"steps": 2, "bf16": safe}
    assert found.compared[-1] == ("2 steps, bf16", "2 steps") and model.precision == "fp32"
    monkeypatch.setattr("declouds.evaluation.inference_search.has_bf16", lambda device: False)
    assert search_inference(model, [10, 2], evaluate, with_bf16=True).found == {"steps": 2}
    monkeypatch.setattr("declouds.evaluation.inference_search.has_bf16", lambda device: True)
    alone = search_inference(model, [], evaluate, with_bf16=True)
    assert alone.found == {"bf16": safe} and list(alone.methods) == ["DE, bf16", "DE"]
