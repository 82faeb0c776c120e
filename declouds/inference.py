"""How a trained model computes: in which precision, in how many sampling steps, and whether compiled."""

import importlib.util
import logging
import os
import shutil
from collections.abc import Callable
from time import perf_counter
from typing import Any

import torch
from torch import nn

from declouds.calibration import SpreadCalibration, recorded_calibration
from declouds.errors import UserError

PRECISIONS = ("auto", "fp32", "bf16")
LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.Linear)  # that compute in bfloat16


def has_bf16(device: torch.device) -> bool:
    """Return whether a device multiplies bfloat16 in hardware (AMX, AVX512-BF16; Ampere and later GPUs)."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        abilities = torch.cpu.get_capabilities()
        return any(abilities.get(name, False) for name in ("amx_bf16", "avx512_bf16", "bf16"))
    return False


def choose_precision(name: str, device: torch.device, safe: bool) -> str:
    """Return ``fp32`` or ``bf16``; ``auto`` is bfloat16 where the device has it and it is known to be safe.

    Args:
        name: one of `PRECISIONS`.
        device: where the networks run.
        safe: whether the results in bfloat16 were found to be as good.

    Raises:
        UserError: unknown precision, or the device has no bfloat16.
    """
    if name not in PRECISIONS:
        raise UserError(f"unknown precision {name!r}: use {', '.join(PRECISIONS)}")
    if name == "bf16" and not has_bf16(device):
        raise UserError(f"{device} does not compute bfloat16 in hardware: use --precision fp32")
    if name == "auto":
        return "bf16" if safe and has_bf16(device) else "fp32"
    return name


def use_precision(model: Any, precision: str) -> None:
    """Let the parts of a model compute in ``precision`` from now on, for inference.

    Weights of convolutions and linear layers are converted once, where autocast alone would do so at every call; all
    else, and what is between the parts, stays in float32. Convolutions go into channels-last layout, which is faster;
    in float32 it is not worth its rounding: group normalisation is six times less exact in it on a CPU.

    Args:
        model: a `CloudRemover`.
        precision: ``fp32`` or ``bf16``.
    """
    model.precision = precision
    if precision == "fp32":
        return
    for part in model.existing_parts():
        network = getattr(model, part)
        for layer in network.modules():
            if isinstance(layer, LAYERS):
                layer.to(torch.bfloat16)
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                layer.to(memory_format=torch.channels_last)
        network.register_forward_pre_hook(_enter_autocast)
        network.register_forward_hook(_leave_autocast, always_call=True)


def _enter_autocast(network: Any, inputs: tuple[torch.Tensor, ...]) -> None:
    network._autocast = torch.autocast(inputs[0].device.type, torch.bfloat16)
    network._autocast.__enter__()


def _leave_autocast(network: Any, inputs: Any, outputs: Any) -> None:
    network._autocast.__exit__(None, None, None)


def compile_parts(model: Any) -> None:
    """Let `torch.compile` compile the parts of a model on their first call, and log how long that took.

    Compilation is in place, so the keys of their weights stay the same. A new image or batch size may compile again.

    Args:
        model: a `CloudRemover` on its device.

    Raises:
        UserError: what compiles for the device is not installed.
    """
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    if device.type == "cuda" and importlib.util.find_spec("triton") is None:
        raise UserError("compiling for a GPU needs the package triton: install it, or leave out --compile")
    if device.type == "cpu" and not any(map(shutil.which, (os.environ.get("CXX", "g++"), "clang++"))):
        raise UserError("compiling for a CPU needs a C++ compiler such as g++: install one, or leave out --compile")
    for part in model.existing_parts():
        network = getattr(model, part)
        if not any(True for _ in network.parameters()):
            continue  # made of NumPy
        for hooks in (network._forward_pre_hooks, network._forward_hooks):
            for key, hook in hooks.items():  # torch cannot follow a context that is entered and left apart
                hooks[key] = torch.compiler.disable(hook)
        network.compile(backend=_compile)


def _compile(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> Callable[..., Any]:
    """Compile a graph with torch's own compiler."""
    from torch._dynamo import lookup_backend

    began = perf_counter()
    compiled = lookup_backend("inductor")(graph, inputs)
    count, seconds = len(graph.graph.nodes), perf_counter() - began
    logging.getLogger("declouds").info("compiled %d operations in %.1f s", count, seconds)
    return compiled


def recorded(model: Any) -> dict[str, Any]:
    """Return what is recorded with the weights.

    ``steps`` that are enough, whether ``bf16`` is as good, and the calibration of the ``spread`` of samples.
    """
    return (getattr(model, "record", None) or {}).get("inference", {})


def spread_calibration(model: Any) -> SpreadCalibration | None:
    """Return the calibration recorded with the weights, if there is one and it holds for the steps of the model."""
    return recorded_calibration(recorded(model), model.bands, model.steps)


def prepare(
    model: Any, precision: str = "auto", steps: int | None = None, use_recorded: bool = True, compiled: bool = False
) -> None:
    """Set the precision and the number of sampling steps of a loaded model, which stays on its device.

    Args:
        model: a `CloudRemover`; in bfloat16 it can no longer be trained.
        precision: one of `PRECISIONS`.
        steps: number of sampling steps; the number recorded with the weights if None, else that of the config.
        use_recorded: take the steps from the record.
        compiled: compile its parts.

    Raises:
        UserError: see `choose_precision`, `CloudRemover.set_steps` and `compile_parts`.
    """
    found = recorded(model)
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    chosen = choose_precision(precision, device, bool(found.get("bf16")))
    if steps is None and use_recorded:
        steps = found.get("steps")
    if steps is not None:
        model.set_steps(steps)
    if chosen != model.precision:
        use_precision(model, chosen)
    if compiled:
        compile_parts(model)
