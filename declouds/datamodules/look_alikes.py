"""Pictures of one place: found by a perceptual hash of the clear image, kept together when data are split."""

from collections.abc import Iterable, Sequence

import numpy as np
import scipy.fft

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
