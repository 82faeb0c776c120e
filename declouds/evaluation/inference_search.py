"""How few sampling steps, and whether bfloat16, give the scores of the most steps in float32."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from declouds.errors import UserError
from declouds.evaluation.statistics import Row, compare, metrics_of
from declouds.inference import has_bf16, use_precision

TOLERANCE, DOUBT = 0.02, 0.1  # dB of PSNR that may be lost in the mean, and at the end of its 95 % interval


@dataclass(frozen=True)
class Search:
    """What a search found.

    Attributes:
        methods: name of the setting -> one row per image; last the steps that are enough, in float32.
        compared: pairs of settings, each with the most steps, or with float32.
        found: what is recorded with the weights: ``steps`` and ``bf16``, as far as they were searched.
    """

    methods: dict[str, list[Row]]
    compared: list[tuple[str, str]]
    found: dict[str, Any]


def search_inference(
    model: Any, steps: Sequence[int], evaluate: Callable[[Any, str], list[Row]], with_bf16: bool
) -> Search:
    """Compare numbers of steps with the most of them, and bfloat16 with float32, by the mean PSNR over images.

    A setting is as good if it loses at most `TOLERANCE` in the mean, and at most `DOUBT` at the end of the interval.

    Args:
        model: a `CloudRemover` in float32; it keeps the number of steps that is enough.
        steps: numbers of steps; those that the model has if empty.
        evaluate: ``(model, name of the setting) -> one row per image``.
        with_bf16: compare bfloat16 too, with the fewest steps that are enough, if the device computes it.

    Raises:
        UserError: the model cannot sample in these steps.
    """
    _check_steps(model, steps)
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    methods: dict[str, list[Row]] = {}
    found: dict[str, Any] = {}
    name, most = model.method, ""
    for number in sorted(steps, reverse=True):
        model.set_steps(number)
        name = f"{number} step{'s' * (number > 1)}"
        methods[name] = evaluate(model, name)
        most = most or name
        if number == max(steps) or _is_as_good(methods[name], methods[most]):
            found["steps"] = number
    compared = [(other, most) for other in methods if other != most]
    if steps:
        model.set_steps(found["steps"])
        name = f"{found['steps']} step{'s' * (found['steps'] > 1)}"
    else:
        methods[name] = evaluate(model, name)
    if with_bf16 and has_bf16(device):
        converted, low = copy.deepcopy(model), f"{name}, bf16"
        use_precision(converted, "bf16")
        methods[low] = evaluate(converted, low)
        found["bf16"] = _is_as_good(methods[low], methods[name])
        compared.append((low, name))
    methods[name] = methods.pop(name)  # last, where results have the model itself
    return Search(methods, compared, found)


def _check_steps(model: Any, steps: Sequence[int]) -> None:
    """Check, before long work, that a model can sample in each of ``steps``."""
    if len(set(steps)) < len(steps):
        raise UserError(f"--steps {' '.join(map(str, steps))}: give each number once")
    for number in steps:
        model.set_steps(number)


def _is_as_good(rows: Sequence[Row], others: Sequence[Row]) -> bool:
    """Compare the PSNR of ``rows`` with that of ``others``, image by image, by the first protocol."""
    metric = next(name for name in metrics_of(rows) if name.endswith(".psnr"))
    gain = compare(rows, others)[metric]
    return gain.mean >= -TOLERANCE and gain.low >= -DOUBT
