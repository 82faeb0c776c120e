"""What a result depends on beside the image: the weights, and everything else about the model that made it."""

import hashlib
import inspect
import json
import sys
from collections.abc import Mapping
from typing import Any

import torch

from declouds.digests import source_digest

SKIPPED = {"training", "trained", "restore", "record"}  # attributes of models that change no pixel


def model_digest(model: Any) -> str:
    """Return the SHA-256 of a model's weights and of its `description`: equal digests give equal results."""
    digest = hashlib.sha256(json.dumps(description(model), sort_keys=True).encode())
    for key, value in sorted(model.state_dict().items()):
        digest.update(key.encode())
        digest.update(_bytes(value))
    return digest.hexdigest()


def description(value: Any, _within: tuple[int, ...] = ()) -> Any:
    """Return what decides the results of an object beside trained weights, as plain values.

    That is, all the way down: classes, the source of those that are not part of this package or of a library, plain
    attributes without a leading underscore, names and versions of modules, and buffers that no state dict holds, such
    as those of a noise schedule. So it follows what an object is, whether that came from a config or was set later.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return repr(value) if isinstance(value, float) else value
    if id(value) in _within:
        return "(itself)"
    within = (*_within, id(value))
    if inspect.ismodule(value):  # not all that it imports
        package = sys.modules.get(value.__name__.split(".")[0])
        return [value.__name__, str(getattr(package, "__version__", ""))]
    if isinstance(value, torch.Tensor):
        return hashlib.sha256(_bytes(value)).hexdigest()
    if isinstance(value, Mapping):
        return {str(key): description(item, within) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [description(item, within) for item in value]
    if isinstance(value, set | frozenset):
        return sorted(map(str, value))
    if (callable(value) and not hasattr(value, "__dict__")) or inspect.isroutine(value) or inspect.isclass(value):
        return getattr(value, "__qualname__", type(value).__qualname__)
    kind = type(value)
    found: dict[str, Any] = {"class": f"{kind.__module__}.{kind.__qualname__}", **_source(kind)}
    if isinstance(value, torch.nn.Module):
        kept = value.state_dict()
        found |= {name: description(child, within) for name, child in value.named_children()}
        found |= {name: description(buffer) for name, buffer in value.named_buffers(recurse=False) if name not in kept}
    attributes = getattr(value, "__dict__", {})
    found |= {
        name: description(item, within)
        for name, item in attributes.items()
        if not name.startswith("_") and name not in SKIPPED
    }
    return found


def _bytes(tensor: torch.Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes()


def _source(kind: type) -> dict[str, str]:
    """Return the digest of the source of a class that has no version here."""
    if kind.__module__.split(".")[0] in ("declouds", "torch", "builtins", "numpy", "mmengine", "timm"):
        return {}
    digest = source_digest(kind)
    return {} if digest is None else {"source": digest}
