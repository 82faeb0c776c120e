"""Split a folder of pairs so that images of one location, found by a perceptual hash, stay in one part."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.fft

from declouds.datamodules.pair_units import UNTOLD, Given
from declouds.datamodules.pairs import Pair, read_header
from declouds.errors import UserError
from declouds.nodata import fill_nodata

LOOK_ALIKE_BITS = 8  # of 64; the RICE pairs inspected, all of different locations, differ in 13 bits or more


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
    given: Given = UNTOLD,
    track: Callable[[Sequence[Pair]], Iterable[Pair]] = iter,
) -> MadeSplit:
    """Divide pairs at random into train and test (two fractions), or train, val and test (three).

    Pairs stay together when their clear images look alike (`perceptual_hash` differing in ``bits`` or fewer), when
    ``group``, a regular expression, matches the same text in their names (its first group if it has one), or when
    their numbers are in the same ``block`` of that many. Large groups are assigned first, each to the part that lacks
    most.

    Raises:
        UserError: fractions that do not add up to 1, a pattern that does not match, or an empty part.
    """
    parts = _part_names(fractions)
    keys = [_group_key(pair.name, group, block) for pair in pairs]
    first_of: dict[str, int] = {}
    links = [(index, first_of.setdefault(key, index)) for index, key in enumerate(keys)]
    hashes = [perceptual_hash(fill_nodata(*given.reader(pair, read_header(pair))(pair.clear))) for pair in track(pairs)]
    links += look_alike_links(hashes, bits)
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
            "(train val test) positive numbers that add up to 1"
        )
    return dict(zip(names, fractions, strict=True))


def _group_key(name: str, pattern: str | None, block: int | None) -> str:
    """Return the key shared by images of one location: the text matched by a pattern, or the block of a number.

    Raises:
        UserError: the pattern is invalid or does not match the name, or the name is not a number.
    """
    if pattern is not None:
        try:
            match = re.search(pattern, name)
        except re.error as error:
            raise UserError(f"group {pattern!r} is not a valid regular expression: {error}") from error
        if match is None:
            raise UserError(f"group {pattern!r} does not match {name!r}: give a pattern that matches every name")
        return match.group(1) if match.groups() else match.group(0)
    if block is not None:
        if block < 1:
            raise UserError(f"block must be at least 1, got {block}")
        if not name.isdecimal():
            raise UserError(f"block {block}: the name {name!r} is not a number: use group instead")
        return str(int(name) // block)
    return name


SIDE = 32  # images are averaged to 32x32 before hashing
FREQUENCIES = 8  # the lowest 8x8 frequencies are hashed
BITS = FREQUENCIES**2


def perceptual_hash(image: np.ndarray) -> np.ndarray:
    """Return a 64-bit hash that similar images share (pHash; Zauner 2010, section 3.2.1).

    The image is averaged to 32x32 grey pixels; the 8x8 lowest frequencies of its discrete cosine transform are compared
    with their median. Brightness, contrast, noise and size hardly change the bits; a shift by a quarter of the image
    does.

    Shapes: (C, H, W) -> bool (64,).
    """
    grey = image[:3].astype(np.float64).mean(axis=0)
    for axis in (0, 1):
        edges = np.linspace(0, grey.shape[axis], min(SIDE, grey.shape[axis]) + 1).astype(int)
        widths = np.diff(edges).reshape((-1, 1) if axis == 0 else (1, -1))
        grey = np.add.reduceat(grey, edges[:-1], axis=axis) / widths
    cosines = scipy.fft.dctn(grey, norm="ortho")[:FREQUENCIES, :FREQUENCIES]
    bits = np.zeros((FREQUENCIES, FREQUENCIES), dtype=bool)  # an image below 8 pixels has fewer frequencies
    bits[: cosines.shape[0], : cosines.shape[1]] = cosines > np.median(cosines.ravel()[1:])
    return bits.ravel()


def group_together(count: int, links: Iterable[tuple[int, int]]) -> list[list[int]]:
    """Return the connected components of 0..count-1 under the links."""
    leader = list(range(count))

    def lead(member: int) -> int:
        while leader[member] != member:
            leader[member] = leader[leader[member]]
            member = leader[member]
        return member

    for first, second in links:
        leader[lead(first)] = lead(second)
    groups: dict[int, list[int]] = {}
    for member in range(count):
        groups.setdefault(lead(member), []).append(member)
    return list(groups.values())


def look_alike_links(hashes: Sequence[np.ndarray], most_bits: int) -> list[tuple[int, int]]:
    """Return the index pairs of images whose hashes differ in at most ``most_bits`` bits."""
    signs = np.where(np.stack(hashes), 1, -1).astype(np.int32)
    differing = (BITS - signs @ signs.T) // 2
    first, second = np.nonzero(np.triu(differing <= most_bits, k=1))
    return list(zip(first.tolist(), second.tolist(), strict=True))
