"""A mask of classes: which of its values mean cloud, and where it says nothing. The same for files and arrays."""

import logging
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np

from declouds.errors import UserError
from declouds.nodata import as_stored
from declouds.scenes.sampling.tiles import Window

BLOCK = 1024  # side of the blocks in which a mask is read
MOST_CLASSES = 256  # more are not classes, and are not all listed
CLOUD = (1, 255)  # what a mask of clear (0) and cloud may call cloud

ReadClasses = Callable[[Window], tuple[np.ndarray, np.ndarray]]  # window -> classes (h, w), known (h, w) bool


class MaskClasses:
    """The cloud in a mask: called with a window, it returns which pixels are cloud.

    NaN, and the nodata value, say nothing; such pixels count as clear.

    Args:
        name: of the mask, for messages.
        read: gives its classes in any window, and where they are known.
        height: rows of the scene.
        width: columns of the scene.
        dtype: type of the classes.
        nodata: the class that says nothing.
        values: the classes that are cloud; if None, the mask has two: 0 for clear, and 1 or 255.

    Attributes:
        uncovered: share of the scene that the mask says nothing about.
        classes: those that it holds, in order.

    Raises:
        UserError: its type cannot hold some of ``values``; or there are none, and it holds something else than 0 for
            clear and 1 or 255 for cloud.
    """

    def __init__(
        self,
        name: str,
        read: ReadClasses,
        height: int,
        width: int,
        dtype: np.dtype,
        nodata: float | None = None,
        values: Sequence[int] | None = None,
    ) -> None:
        _check_values(name, dtype, values)
        self.name, self.read, self.values = name, read, values
        # Many masks of 0 and 1 have nodata 0, which was meant as clear.
        self.nodata = None if nodata in ([0] if values is None else values) else as_stored(nodata, dtype)
        self.uncovered, self.classes = self._survey(height, width)
        if values is None:
            _check_two_classes(name, self.classes)

    def __call__(self, window: Window) -> np.ndarray:
        """Return the cloud. Shapes: (window.height, window.width) bool."""
        classes, covered = self._read(window)
        cloud = classes != 0 if self.values is None else np.isin(classes, self.values)
        return cloud & covered

    def warn(self, scene: object) -> None:
        """Log what a user should know of the mask before the scene is cleared."""
        log = logging.getLogger("declouds")
        if self.uncovered > 0:
            share = 100 * self.uncovered
            log.warning("%s: does not cover %.2g %% of %s, which counts as clear", self.name, share, scene)
        if self.values and not set(self.values) & set(self.classes):
            log.warning("%s: no pixel is %s: nothing is cleared", self.name, listed(self.values, " or "))
        if self.values is None and not any(self.classes):
            value = "" if self.nodata is None else f" {self.nodata:g}"
            cure = f"; if its nodata value{value} means cloud, name it with --mask-values" if self.uncovered > 0 else ""
            log.warning("%s: no pixel is cloud: nothing is cleared%s", self.name, cure)

    def _read(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Return the classes, and where the mask says something."""
        classes, covered = self.read(window)
        if np.issubdtype(classes.dtype, np.floating):
            covered = covered & ~np.isnan(classes)
        return classes, covered if self.nodata is None else covered & (classes != self.nodata)

    def _survey(self, height: int, width: int) -> tuple[float, list[float]]:
        """Return the share of the scene that the mask does not cover, and its classes, of every pixel."""
        covered = 0
        classes: set[float] = set()
        for row, col in product(range(0, height, BLOCK), range(0, width, BLOCK)):
            found, known = self._read(Window(row, col, min(BLOCK, height - row), min(BLOCK, width - col)))
            covered += int(known.sum())
            if len(classes) <= MOST_CLASSES:
                classes.update(np.unique(found[known]).tolist())
        return 1 - covered / (height * width), sorted(classes)


def listed(values: Sequence[Any], separator: str = ", ") -> str:
    """Return the first values as text."""
    more = ["..."] if len(values) > 8 else []
    return separator.join([*(f"{value:g}" for value in values[:8]), *more])


def _check_values(name: str, dtype: np.dtype, values: Sequence[int] | None) -> None:
    """Refuse values that no pixel of the mask can have."""
    kind = np.dtype("uint8") if dtype.kind == "b" else dtype
    if kind.kind not in "iuf":
        raise UserError(f"{name}: is {dtype.name}, and a mask holds classes: give numbers")
    limits = np.iinfo(kind) if kind.kind in "iu" else np.finfo(kind)
    odd = [value for value in values or () if not limits.min <= value <= limits.max]
    if odd:
        raise UserError(f"{name}: is {dtype.name}, which cannot hold the cloud values {listed(odd)}: correct them")


def _check_two_classes(name: str, classes: Sequence[float]) -> None:
    """Refuse a mask whose classes do not show which of them are cloud."""
    others = [value for value in classes if value != 0]
    if len(others) > 1 or (others and others[0] not in CLOUD):
        raise UserError(
            f"{name}: holds the values {listed(classes)}, and only 0 (clear) and 1 or 255 (cloud) are "
            "unambiguous: give the classes of cloud and shadow with --mask-values, see the documentation of the mask; "
            "a probability needs a threshold first"
        )
