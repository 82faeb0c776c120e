"""What the values of a mask mean: which of them, or which of their bits, are cloud. The same for files and arrays."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from declouds.errors import UserError

CLOUD = (1, 255)  # what a mask of clear (0) and cloud may call cloud
FLAGS = 16  # below, numbers may be classes as well as sums of flags


@dataclass(frozen=True)
class MaskRule:
    """What is cloud in a mask, said in one way; said in none, 0 is clear, and 1 or 255 is cloud.

    Args:
        values: the classes that are cloud.
        bits: numbers, from 0, of the bits of which each means cloud.
        above: every value above this one is cloud.
        kind: the product that the mask is of, a key of `KINDS`; then ``values`` or ``bits`` are as there.
    """

    values: tuple[int, ...] = ()
    bits: tuple[int, ...] = ()
    above: float | None = None
    kind: str | None = None

    def __str__(self) -> str:
        """Return what is cloud, in words."""
        if self.bits:
            return f"{'band' if self.bands else 'bit'} {listed(self.bits, ' or ')}"
        return f"above {self.above:g}" if self.above is not None else listed(self.values or CLOUD, " or ")

    @property
    def bands(self) -> tuple[int, ...]:
        """Numbers of the bands that stand for the bits; none where the mask is a single band."""
        return self.bits if self.kind and KINDS[self.kind].bands else ()

    def cloud(self, values: np.ndarray) -> np.ndarray:
        """Return which pixels are cloud. Shapes: any, bool."""
        if self.bits:
            return np.bitwise_or.reduce([(values >> bit) & 1 for bit in self.bits]) != 0
        if self.above is not None:
            return values > self.above
        return np.isin(values, self.values) if self.values else values != 0

    def knows(self, nodata: float | None) -> bool:
        """Tell whether the nodata value of a mask says something after all: cloud, or clear."""
        if self.values:
            return self.kind is not None or nodata in self.values
        return self.kind is not None or nodata == 0  # of many masks of 0 and 1, which meant clear

    def check_type(self, name: str, dtype: np.dtype) -> None:
        """Refuse a mask whose type holds no such values.

        Raises:
            UserError: as said.
        """
        kind = np.dtype("uint8") if dtype.kind == "b" else dtype
        if kind.kind not in "iuf":
            raise UserError(f"{name}: is {dtype.name}, and a mask holds classes: give numbers")
        if self.bits and dtype.kind not in "iu":
            raise UserError(f"{name}: is {dtype.name}, and only integers have bits: use --mask-above or --mask-values")
        if odd := [bit for bit in self.bits if bit >= 8 * dtype.itemsize]:
            last = 8 * dtype.itemsize - 1
            raise UserError(f"{name}: is {dtype.name}, with the bits 0 to {last}, and no bit {listed(odd)}: correct it")
        limits = np.iinfo(kind) if kind.kind in "iu" else np.finfo(kind)
        if odd := [value for value in self.values if not limits.min <= value <= limits.max]:
            raise UserError(f"{name}: is {dtype.name}, which cannot hold the cloud values {listed(odd)}: correct them")

    def check_values(self, name: str, found: Sequence[float], dtype: np.dtype) -> None:
        """Refuse a mask whose values do not go with the rule.

        Args:
            name: of the mask, for messages.
            found: its values, in order.
            dtype: their type.

        Raises:
            UserError: as said.
        """
        if odd := [value for value in found if self.kind and not KINDS[self.kind].has(value)]:
            raise UserError(
                f"{name}: holds the values {listed(odd)}, which {KINDS[str(self.kind)].title} does not have: is it "
                "another product? Then name what is cloud with --mask-values, --mask-bits or --mask-above"
            )
        if self.bits and not self.kind and _look_like_classes(found):
            raise UserError(
                f"{name}: holds the values {listed(found)}, which look like classes and not like bits: name those of "
                "cloud with --mask-values"
            )
        if self.above is not None and 0 < self.above < 1 < max(found, default=0):
            raise UserError(
                f"{name}: holds values up to {max(found):g}, and --mask-above {self.above:g} is a threshold for 0 to "
                f"1: give it in the file's own values, such as {100 * self.above:g} of 100"
            )
        if self == TWO_CLASSES:
            _check_two_classes(name, found, dtype)


TWO_CLASSES = MaskRule()


@dataclass(frozen=True)
class MaskKind:
    """A mask that comes with a product.

    Args:
        title: what it is called.
        cloud: its classes, its bits or its bands of cloud, thin cloud and cirrus.
        shadow: those of cloud shadow.
        has: tells whether it can hold a value.
        in_bits: these numbers are bits, not values.
        bands: how many it has, if these numbers are bands.
    """

    title: str
    cloud: tuple[int, ...]
    shadow: tuple[int, ...]
    has: Callable[[float], bool]
    in_bits: bool = False
    bands: int = 0


# Sources: Sentinel-2 Products Specification Document (Scene Classification); Landsat 8-9 Collection 2 Level 2 Science
# Product Guide, QA_PIXEL (Landsat 4 to 7 have the same bits, without cirrus; where there is data, bits 12 and 13, the
# confidence of snow, are never 0, while clear pixels of Collection 1 are below 4096); Planet, Usable Data Mask 2 (in
# version 2.1 band 4 is all haze, and band 5 is 0); GERSL, Fmask 4 (python-fmask numbers its classes otherwise).
KINDS = {
    "scl": MaskKind("Sentinel-2's scene classification (SCL)", (8, 9, 10), (3,), lambda value: value in range(12)),
    "qa_pixel": MaskKind(
        "Landsat's QA_PIXEL (Collection 2)",
        (1, 2, 3),
        (4,),
        lambda value: value in (0, 1) or value >= 4096,
        in_bits=True,
    ),
    "udm2": MaskKind("Planet's UDM2", (4, 5, 6), (3,), lambda value: True, True, bands=8),
    "fmask": MaskKind("Fmask 4", (4,), (2,), lambda value: value in (0, 1, 2, 3, 4, 255)),
}


def rule_of(kind: str, shadow: bool = True) -> MaskRule:
    """Return what is cloud in a mask of a product, with or without the shadows of clouds."""
    its = KINDS[kind]
    numbers = tuple(sorted(its.cloud + its.shadow * shadow))
    return MaskRule(bits=numbers, kind=kind) if its.in_bits else MaskRule(values=numbers, kind=kind)


def listed(values: Sequence[Any], separator: str = ", ") -> str:
    """Return the first values as text."""
    more = ["..."] if len(values) > 8 else []
    return separator.join([*(f"{value:g}" for value in values[:8]), *more])


def _look_like_classes(found: Sequence[float]) -> bool:
    """Tell whether values are too small and too many for sums of flags, of which one pixel seldom has several."""
    return max(found, default=0) < FLAGS and sum(value not in (0, 1, 2, 4, 8) for value in found) > 2


def _check_two_classes(name: str, found: Sequence[float], dtype: np.dtype) -> None:
    """Refuse a mask whose classes do not show which of them are cloud."""
    others = [value for value in found if value != 0]
    if len(others) <= 1 and set(others) <= set(CLOUD):
        return
    if dtype.kind == "f" and any(value % 1 for value in others):
        cure = "a probability needs a threshold: give it with --mask-above"
    elif others[-1] > 255:
        cure = "of a bit field give the bits of cloud with --mask-bits, or the product with --mask-kind qa_pixel"
    else:
        cure = (
            "give the classes of cloud and shadow with --mask-values, see the documentation of the mask, or the "
            "product with --mask-kind, such as scl"
        )
    raise UserError(
        f"{name}: holds the values {listed(found)}, and only 0 (clear) and 1 or 255 (cloud) are unambiguous: {cure}"
    )
