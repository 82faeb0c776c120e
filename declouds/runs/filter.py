"""Which runs are listed, and in what order: ``model.fusion.type=WeightAllocation``, ``seconds>3600``."""

import fnmatch
import json
import operator
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from declouds.errors import UserError, did_you_mean

COMPARISONS = {"<": operator.lt, ">": operator.gt, "<=": operator.le, ">=": operator.ge}
PATTERN = re.compile(r"([^=<>!\s]+)\s*(<=|>=|!=|==|=|<|>)\s*(.*)")


class Condition(NamedTuple):
    """A key, a comparison and a value as it was written."""

    key: str
    comparison: str
    text: str

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Return whether it holds; a key that is not there is ``none``."""
        value = values.get(self.key)
        if self.comparison in ("=", "=="):
            return _equal(value, self.text)
        if self.comparison == "!=":
            return not _equal(value, self.text)
        found: Any = _number(value)
        wanted: Any = _number(self.text)
        if found is None or wanted is None:
            found, wanted = value, self.text  # dates, for example
            if not isinstance(value, str):
                return False
        return COMPARISONS[self.comparison](found, wanted)


def read_condition(text: str) -> Condition:
    """Return the condition that was written.

    Raises:
        UserError: it is none.
    """
    match = PATTERN.fullmatch(text.strip())
    if match is None:
        raise UserError(
            f"--where {text!r}: give KEY=VALUE, or with != < > <= >= in place of =, each in quotes: 'seconds>3600'"
        )
    return Condition(*match.groups())


def check_keys(wanted: Collection[str], known: Collection[str]) -> None:
    """Make sure that keys exist.

    Raises:
        UserError: nothing listed has one of them; names the nearest ones.
    """
    for key in wanted:
        if key not in known:
            raise UserError(
                f"nothing listed has the key {key!r}: {did_you_mean(key, known, 3) or '--json shows all keys of a run'}"
            )


def in_order(rows: Sequence[Mapping[str, Any]], key: str, reverse: bool) -> list[int]:
    """Return the places of the rows, sorted by a key: numbers, then texts; rows without it come last."""
    there = [place for place, row in enumerate(rows) if row.get(key) is not None]

    def rank(place: int) -> tuple[bool, Any]:
        number = _number(rows[place][key])
        return (False, number) if number is not None else (True, str(rows[place][key]))

    return sorted(there, key=rank, reverse=reverse) + [place for place in range(len(rows)) if place not in set(there)]


def _equal(value: Any, text: str) -> bool:
    if value is None or isinstance(value, bool):
        return text.lower() == str(value).lower() or (value is not None and text == json.dumps(value))
    number = _number(text)
    if number is not None and _number(value) is not None:
        return _number(value) == number
    return fnmatch.fnmatchcase(str(value), text)


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or value is None:
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
