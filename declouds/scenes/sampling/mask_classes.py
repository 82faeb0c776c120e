"""A mask of classes: which of its values mean cloud, and where it says nothing. The same for files and arrays."""

import logging
import math
from collections.abc import Callable, Iterator
from itertools import product

import numpy as np

from declouds.nodata import as_stored
from declouds.scenes.sampling.mask_rule import TWO_CLASSES, MaskRule
from declouds.scenes.sampling.tiles import Window

BLOCK = 1024  # side of the blocks in which a mask is read
MOST_CLASSES = 256  # more are not classes, and are not all listed

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
        rule: what is cloud.

    Attributes:
        uncovered: share of the scene that the mask says nothing about.
        classes: those that it holds, in order; of very many, some and the largest.
        cloudy: share of the scene that is cloud.

    Raises:
        UserError: its type or its values do not go with the rule, see `MaskRule`.
    """

    def __init__(
        self,
        name: str,
        read: ReadClasses,
        height: int,
        width: int,
        dtype: np.dtype,
        nodata: float | None = None,
        rule: MaskRule = TWO_CLASSES,
    ) -> None:
        rule.check_type(name, dtype)
        self.name, self.read, self.rule, self.size = name, read, rule, (height, width)
        self.nodata = None if rule.knows(nodata) else as_stored(nodata, dtype)
        self.uncovered, self.classes, self.cloudy = self._survey()
        rule.check_values(name, self.classes, dtype)

    def __call__(self, window: Window) -> np.ndarray:
        """Return the cloud. Shapes: (window.height, window.width) bool."""
        classes, covered = self._read(window)
        return self.rule.cloud(classes) & covered

    def warn(self, scene: object, valid: Callable[[Window], np.ndarray] | None = None) -> None:
        """Log what a user should know of the mask before the scene is cleared.

        Args:
            scene: its name.
            valid: gives the pixels of a window that have data, (h, w) bool: a mask need not cover the others.
        """
        log = logging.getLogger("declouds")
        missed = self.uncovered if valid is None or not self.uncovered else self._missed(valid)
        if missed > 0:
            log.warning("%s: does not cover %.2g %% of %s, which counts as clear", self.name, 100 * missed, scene)
        if not self.cloudy:
            log.warning("%s: no pixel is %s: nothing is cleared%s", self.name, *self._why_none())

    def _why_none(self) -> tuple[str, str]:
        """Return what no pixel is, and what may be the reason."""
        if self.rule == TWO_CLASSES:
            value = "" if self.nodata is None else f" {self.nodata:g}"
            cure = f"; if its nodata value{value} means cloud, name it with --mask-values" if self.uncovered > 0 else ""
            return "cloud", cure
        if self.rule.above is not None and self.classes:
            return str(self.rule), f"; its values go up to {self.classes[-1]:g}, and the threshold is one of these"
        return str(self.rule), ""

    def _read(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Return the classes, and where the mask says something."""
        classes, covered = self.read(window)
        if np.issubdtype(classes.dtype, np.floating):
            covered = covered & ~np.isnan(classes)
        return classes, covered if self.nodata is None else covered & (classes != self.nodata)

    def _windows(self) -> Iterator[Window]:
        """Yield the windows in which the mask is read."""
        height, width = self.size
        for row, col in product(range(0, height, BLOCK), range(0, width, BLOCK)):
            yield Window(row, col, min(BLOCK, height - row), min(BLOCK, width - col))

    def _survey(self) -> tuple[float, list[float], float]:
        """Return the share of the scene that the mask does not cover, its classes, and the share of cloud."""
        covered = cloudy = 0
        classes: set[float] = set()
        for window in self._windows():
            found, known = self._read(window)
            covered += int(known.sum())
            cloudy += int((self.rule.cloud(found) & known).sum())
            here = np.unique(found[known])
            classes.update(here.tolist() if len(classes) <= MOST_CLASSES else here[-1:].tolist())
        pixels = math.prod(self.size)
        return 1 - covered / pixels, sorted(classes), cloudy / pixels

    def _missed(self, valid: Callable[[Window], np.ndarray]) -> float:
        """Return the share of the scene that has data and is not covered."""
        missed = sum(int((valid(window) & ~self._read(window)[1]).sum()) for window in self._windows())
        return missed / math.prod(self.size)
