"""What a weights file holds, in words for people and as plain values for programs."""

from collections.abc import Iterator
from typing import Any

from declouds.weights.export import parts_of
from declouds.weights.file import WeightsFile


def as_values(weights: WeightsFile) -> dict[str, Any]:
    """Return everything but the weights, as JSON can hold it."""
    return dict(
        parameters=sum(value.numel() for value in weights.state_dict.values()),
        tensors=len(weights.state_dict),
        parts=parts_of(weights),
        config=weights.config,
        record=weights.record,
    )


def as_lines(weights: WeightsFile) -> Iterator[str]:
    """Yield a title and a text for each thing worth knowing, aligned."""
    for title, text in _facts(weights):
        yield f"{title:<14} {text}"


def _facts(weights: WeightsFile) -> Iterator[tuple[str, str]]:
    config, record = weights.config, weights.record
    yield "model", str(config.get("type"))
    for part, parameters in parts_of(weights).items():
        yield part, f"{_type_of(config.get(part))}, {_short(parameters)} parameters"
    for part in ("noise_schedule", "sampler"):
        if part in config:
            yield part, _one_line(config[part])
    for title in ("in_bands", "bands", "band_names", "value_range", "any_units"):
        if config.get(title):
            yield title, _one_line(config[title])
    yield from _making(record)
    if isinstance(inner := record.get("reference"), dict):
        yield "reference", "made as follows:"
        yield from _making(inner)


def _making(record: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield how the weights came about: an entry of the record a line, or a line for each thing in it."""
    for title, value in record.items():
        if title == "reference":
            continue
        if isinstance(value, list):
            value = {str(number): item for number, item in enumerate(value)}
        if not isinstance(value, dict):
            yield title, _one_line(value)
            continue
        for key, item in value.items():
            yield title, f"{key}: {_one_line(item)}"
            title = ""


def _one_line(value: Any) -> str:
    """Return nested values as text: ``type=DDIM, steps=10``."""
    if isinstance(value, dict):
        return ", ".join(f"{key}={_inner(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(_inner(item) for item in value)
    return " ".join(str(value).split())


def _inner(value: Any) -> str:
    return f"({_one_line(value)})" if isinstance(value, dict | list) else _one_line(value)


def _type_of(part: Any) -> str:
    return str(part.get("type")) if isinstance(part, dict) else "?"


def _short(count: int) -> str:
    """Return 3637249 as ``3.637 M``."""
    return f"{count / 1e6:.3f} M" if count >= 1e5 else f"{count}"
