"""The axes of a sweep: entries of a config, and the named values that they take."""

import inspect
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from declouds.errors import UserError, did_you_mean
from declouds.registry import MODELS
from declouds.training.config import known_keys

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")  # what a folder may be called everywhere


class Axis(NamedTuple):
    """An entry of the config, and name -> value of what takes its place.

    ``name`` is what the sweep file calls it, ``key`` the path of the entry in the config.
    """

    name: str
    key: str
    values: dict[str, Any]


def read_axis(path: Path, name: str, values: Any, config: dict[str, Any]) -> Axis:
    """Read an axis: a list of values, or a dict that names them.

    Raises:
        UserError: the config has no such entry, there is no value, or a value has no usable name of its own.
    """
    key = _key_of(path, name, config)
    if isinstance(values, Mapping):
        named = [(str(label), value) for label, value in values.items()]
    elif isinstance(values, list | tuple):
        named = [(_name_of(path, name, value), value) for value in values]
    else:
        raise UserError(f"{path}: axis {name} is a list of values or a dict of named ones, not {values!r}")
    if not named:
        raise UserError(f"{path}: axis {name} has no values: give at least one, or remove it")
    labels = [label for label, _ in named]
    for label in labels:
        if not NAME.fullmatch(label):
            raise UserError(f"{path}: axis {name}: {label!r} cannot name a folder: use letters, digits and . _ + -")
        if labels.count(label) > 1:
            raise UserError(
                f"{path}: axis {name}: two cells would have the name {label}: name the values, "
                f"{name}=dict(one=..., other=...)"
            )
    return Axis(name, key, dict(named))


def set_entry(config: dict[str, Any], key: str, value: Any) -> None:
    """Put ``value`` in the place of the entry at ``key``, a path like ``model.sampler.steps`` or ``stages.0.lr``."""
    *parents, last = key.split(".")
    place: Any = config
    for parent in parents:
        place = place[int(parent) if isinstance(place, list | tuple) else parent]
    place[int(last) if isinstance(place, list) else last] = value


def _key_of(path: Path, name: str, config: dict[str, Any]) -> str:
    """Return the path of the entry that an axis stands for."""
    of_model = _arguments_of_model(config)
    if name in known_keys(config):
        return name
    if name in of_model:
        return f"model.{name}"
    *parents, last = name.split(".")
    place: Any = config if parents else None
    for parent in parents:
        if isinstance(place, list | tuple):
            place = place[int(parent)] if parent.isdigit() and int(parent) < len(place) else None
        else:
            place = place.get(parent) if isinstance(place, Mapping) else None
    fits = isinstance(place, Mapping) or (isinstance(place, list) and last.isdigit() and int(last) < len(place))
    if fits:
        return name
    known = [*known_keys(config), *of_model]
    raise UserError(
        f"{path}: axis {name!r} is not a config key: {did_you_mean(name, known)}an axis is one of "
        f"{', '.join(known)}, or the path of an entry like model.sampler.steps"
    )


def _arguments_of_model(config: dict[str, Any]) -> list[str]:
    model = MODELS.get(config["model"].get("type", ""))
    if model is None:
        return []
    kinds = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return [name for name, it in inspect.signature(model).parameters.items() if it.kind not in kinds]


def _name_of(path: Path, axis: str, value: Any) -> str:
    """Name a value by itself: a number or a word, or the type of a part."""
    if isinstance(value, Mapping) and isinstance(value.get("type"), str):
        return value["type"]
    if value is None:
        return "none"
    if isinstance(value, str | int | float):
        return str(value)
    raise UserError(f"{path}: axis {axis}: {value!r} has no name: name the values, {axis}=dict(one=..., other=...)")
