"""Make a split of a folder of pairs in which pictures of one place stay together."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from declouds.datamodules.look_alikes import group_together, look_alike_links, perceptual_hash
from declouds.datamodules.pair import Pair, read_bands
from declouds.errors import UserError

LOOK_ALIKE_BITS = 8  # of 64; the real RICE pairs we looked at, all different places, differ in 13 bits or more


@dataclass(frozen=True)
class MadeSplit:
    """Part -> names, and the groups of two or more names that were kept together."""

    parts: dict[str, list[str]]
    groups: list[list[str]]


def make_split(
    pairs: Sequence[Pair],
    fractions: Sequence[float] = (0.8, 0.2),
    seed: int = 0,
    group: str | None = None,
    block: int | None = None,
    bits: int = LOOK_ALIKE_BITS,
    track: Callable[[Sequence[Pair]], Iterable[Pair]] = iter,
) -> MadeSplit:
    """Divide pairs at random into train and test (two fractions), or train, val and test (three).

    Pairs stay together when their clear images look alike (`perceptual_hash` differing in ``bits`` or fewer), when
    ``group``, a regular expression, finds the same text in their names (its first bracket if it has one), or when
    their numbers are in one ``block`` of so many. Large groups are placed first, each where most is missing.

    Raises:
        UserError: fractions that do not add up to 1, a pattern that does not fit, a part that stays empty.
    """
    parts = _part_names(fractions)
    keys = [_group_key(pair.name, group, block) for pair in pairs]
    first_of: dict[str, int] = {}
    links = [(index, first_of.setdefault(key, index)) for index, key in enumerate(keys)]
    links += look_alike_links([perceptual_hash(read_bands(pair.clear)) for pair in track(pairs)], bits)
    groups = group_together(len(pairs), links)
    shuffled = [groups[index] for index in np.random.default_rng(seed).permutation(len(groups))]
    placed: dict[str, list[str]] = {part: [] for part in parts}
    for members in sorted(shuffled, key=len, reverse=True):
        part = max(parts, key=lambda name: parts[name] * len(pairs) - len(placed[name]))
        placed[part] += [pairs[member].name for member in members]
    empty = [part for part, names in placed.items() if not names]
    if empty:
        raise UserError(f"no pair is left for {empty[0]}: {len(pairs)} pairs in {len(groups)} groups are too few")
    return MadeSplit(placed, [[pairs[member].name for member in members] for members in groups if len(members) > 1])


def _part_names(fractions: Sequence[float]) -> dict[str, float]:
    names = {2: ("train", "test"), 3: ("train", "val", "test")}.get(len(fractions))
    if names is None or min(fractions) <= 0 or abs(sum(fractions) - 1) > 1e-6:
        raise UserError(
            f"fractions {' '.join(f'{fraction:g}' for fraction in fractions)}: give two (train test) or three "
            "(train val test) above 0 that add up to 1"
        )
    return dict(zip(names, fractions, strict=True))


def _group_key(name: str, pattern: str | None, block: int | None) -> str:
    """Return what the names of pictures of one place share: the first group of a pattern, or a block of numbers.

    Raises:
        UserError: the pattern is none, or does not fit the name; or the name is no number.
    """
    if pattern is not None:
        try:
            found = re.search(pattern, name)
        except re.error as error:
            raise UserError(f"group {pattern!r} is no regular expression: {error}") from error
        if found is None:
            raise UserError(f"group {pattern!r} does not fit the name {name!r}: give a pattern that fits every name")
        return found.group(1) if found.groups() else found.group(0)
    if block is not None:
        if block < 1:
            raise UserError(f"block {block}: a block holds at least one number")
        if not name.isdecimal():
            raise UserError(f"block {block}: the name {name!r} is no number: use group with a pattern instead")
        return str(int(name) // block)
    return name
