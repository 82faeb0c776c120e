"""Arguments checked against the annotations of what takes them, where Python would take whatever is given."""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Integral, Real
from os import PathLike
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

import numpy as np

from declouds.errors import UserError, did_you_mean

# Annotation -> what is accepted for it, and how it is called. A bool counts as a number in Python, and not here.
KINDS: dict[Any, tuple[tuple[type, ...], str]] = {
    bool: ((bool, np.bool_), "True or False"),
    int: ((Integral,), "an integer"),
    float: ((Real,), "a number"),
    str: ((str,), "text"),
    Path: ((PathLike,), "a path"),
    PathLike: ((PathLike,), "a path"),
    NoneType: ((NoneType,), "None"),
    np.ndarray: ((np.ndarray,), "an array"),
    dict: ((Mapping,), "a dict"),
    Mapping: ((Mapping,), "a dict"),
}


def check_arguments(takes: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
    """Refuse arguments that a callable does not have, and those of another kind than its annotations say.

    Annotations that `KINDS` does not list, and those that are text, accept anything.

    Args:
        takes: a function or class.
        arguments: name -> value, as they would be given to it.

    Raises:
        UserError: names the argument, and what it takes.
    """
    check_names(takes, arguments)
    for name, value in arguments.items():
        annotation = inspect.signature(takes).parameters[name].annotation
        if not _fits(value, annotation):
            shown = repr(value) if isinstance(value, str | Real | NoneType) else f"a {type(value).__name__}"
            raise UserError(f"{name} = {shown}: give {_words(annotation)}")


def check_names(takes: Callable[..., Any], names: Iterable[str]) -> None:
    """Refuse names of arguments that a callable does not have.

    Raises:
        UserError: with the known ones.
    """
    known = list(inspect.signature(takes).parameters)
    for name in names:
        if name not in known:
            raise UserError(f"unknown argument {name!r}: {did_you_mean(name, known)}known: {', '.join(known)}")


def _fits(value: Any, annotation: Any) -> bool:
    """Tell whether a value is what an annotation says, as far as that is known."""
    kind, inner = get_origin(annotation) or annotation, get_args(annotation)
    if kind in (Union, UnionType):
        return any(_fits(value, one) for one in inner)
    if kind is Sequence:
        listed = isinstance(value, Sequence) and not isinstance(value, str | bytes)
        return listed and all(_fits(item, inner[0]) for item in value)
    if kind not in KINDS:
        return not isinstance(kind, type) or kind is inspect.Parameter.empty or isinstance(value, kind)
    return isinstance(value, KINDS[kind][0]) and not (kind in (int, float) and isinstance(value, bool))


def _words(annotation: Any) -> str:
    """Return what an annotation accepts, in words."""
    kind, inner = get_origin(annotation) or annotation, get_args(annotation)
    if kind in (Union, UnionType):
        return " or ".join(dict.fromkeys(_words(one) for one in inner))
    if kind is Sequence:
        return "a list, each entry " + _words(inner[0])
    return KINDS[kind][1] if kind in KINDS else f"a {getattr(kind, '__name__', kind)}"
