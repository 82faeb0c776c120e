"""Make a split of a folder of pairs in which images of one place stay together, found by a perceptual hash."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.fft

from declouds.datamodules.pairs import Pair, read_with_gaps
from declouds.errors import UserError
from declouds.nodata import fill_nodata

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
    links += look_alike_links(
        [perceptual_hash(fill_nodata(*read_with_gaps(pair.clear))) for pair in track(pairs)], bits
    )
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
        UserError: the pattern is none, or does not fit the name; or the name is not a number.
    """
    if pattern is not None:
        try:
            found = re.search(pattern, name)
        except re.error as error:
            raise UserError(f"group {pattern!r} is not a regular expression: {error}") from error
        if found is None:
            raise UserError(f"group {pattern!r} does not fit the name {name!r}: give a pattern that fits every name")
        return found.group(1) if found.groups() else found.group(0)
    if block is not None:
        if block < 1:
            raise UserError(f"block {block}: a block holds at least one number")
        if not name.isdecimal():
            raise UserError(f"block {block}: the name {name!r} is not a number: use group with a pattern instead")
        return str(int(name) // block)
    return name


SIDE = 32  # a picture is compared as this many by this many means
FREQUENCIES = 8  # of which the slowest 8x8 cosines count
BITS = FREQUENCIES**2


def perceptual_hash(image: np.ndarray) -> np.ndarray:
    """Return 64 bits that look-alikes share: the signs of the slowest cosines (pHash; Zauner 2010, section 3.2.1).

    The picture is made grey and reduced to 32x32 means; of its discrete cosine transform the 8x8 slowest coefficients
    are compared with their median. Brightness, contrast, noise and size hardly change the bits; a shift of a quarter
    does.

    Shapes: (C, H, W) -> bool (64,).
    """
    grey = image[:3].astype(np.float64).mean(axis=0)
    for axis in (0, 1):
        edges = np.linspace(0, grey.shape[axis], min(SIDE, grey.shape[axis]) + 1).astype(int)
        widths = np.diff(edges).reshape((-1, 1) if axis == 0 else (1, -1))
        grey = np.add.reduceat(grey, edges[:-1], axis=axis) / widths
    cosines = scipy.fft.dctn(grey, norm="ortho")[:FREQUENCIES, :FREQUENCIES]
    bits = np.zeros((FREQUENCIES, FREQUENCIES), dtype=bool)  # a picture of less than 8 pixels has fewer cosines
    bits[: cosines.shape[0], : cosines.shape[1]] = cosines > np.median(cosines.ravel()[1:])
    return bits.ravel()


def group_together(count: int, links: Iterable[tuple[int, int]]) -> list[list[int]]:
    """Return the groups of 0..count-1 that the links join, directly or through others."""
    leader = list(range(count))

    def lead(member: int) -> int:
        while leader[member] != member:
            leader[member] = leader[leader[member]]
            member = leader[member]
        return member

    for one, other in links:
        leader[lead(one)] = lead(other)
    groups: dict[int, list[int]] = {}
    for member in range(count):
        groups.setdefault(lead(member), []).append(member)
    return list(groups.values())


def look_alike_links(hashes: Sequence[np.ndarray], most_bits: int) -> list[tuple[int, int]]:
    """Return the pairs of pictures whose hashes differ in ``most_bits`` of the 64 or fewer."""
    signs = np.where(np.stack(hashes), 1, -1).astype(np.int32)
    differing = (BITS - signs @ signs.T) // 2
    one, other = np.nonzero(np.triu(differing <= most_bits, k=1))
    return list(zip(one.tolist(), other.tolist(), strict=True))
