"""What a kind of official weight file holds: a network's size from its shapes, and our name for each of its keys.

Rules are applied in turn to every key by ``re.sub``. Where official names count from 1, ours count from 0.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Shapes = dict[str, tuple[int, ...]]
Rule = tuple[str, str | Callable[[re.Match[str]], str]]


@dataclass(frozen=True)
class Kind:
    """One kind of official weight file.

    Attributes:
        signature: a key that files of this kind have, and of the other kinds only those that extend it.
        rules: (pattern, replacement) from official to our keys.
        unused: pattern of the official keys that the official output does not depend on, and ours have no place for.
        config_of: the arguments that build our network, from the official shapes.
        input_key: our key of the weight whose second axis is the bands of the cloudy image; None if several are.
        output_key: our key of the weight whose first axis is the bands of the prior; None if several are.
        extends: the kind whose keys are all in files of this kind too, if there is one.
    """

    signature: str
    rules: tuple[Rule, ...]
    unused: str | None
    config_of: Callable[[Shapes], dict[str, Any]]
    input_key: str | None = None
    output_key: str | None = None
    extends: "Kind | None" = None

    def rename(self, key: str) -> str:
        """Return our name for an official key."""
        for pattern, replacement in self.rules:
            key = re.sub(pattern, replacement, key)
        return key


def less_one(template: str) -> Callable[[re.Match[str]], str]:
    """Return a replacement that puts each number of the match, less one, into ``template``."""
    return lambda match: template.format(*[int(number) - 1 for number in match.groups()])


def count(shapes: Shapes, pattern: str) -> int:
    """Return how many different values the group in ``pattern`` takes over all keys."""
    return len({match[1] for key in shapes if (match := re.match(pattern, key))})
