"""Data sets in the layout in which their authors publish them: files, sources and split, read without torch."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from declouds.datamodules.pairs import PARTS, Pair
from declouds.datamodules.splits import choose, find_split
from declouds.errors import UserError, some
from declouds.sources import Source

Parts = dict[str, list[Pair]]


@dataclass(frozen=True)
class PublishedSet:
    """A data set as its authors publish it.

    Args:
        name: of the data set, in messages.
        read: returns all pairs below the folder of the data set.
        splits: name of a split -> what divides the pairs into parts; ``published`` is that of the papers.
        value_range: sensor values that stand for -1 and 1.
        band_names: of the images.
        sources: the further sources of every pair.
    """

    name: str
    read: Callable[[Path], list[Pair]]
    splits: Mapping[str, Callable[[Sequence[Pair]], Parts]]
    value_range: tuple[float, float]
    band_names: tuple[str, ...]
    sources: tuple[Source, ...] = ()

    def parts(self, root: Path, split: str | Path | Mapping[str, Any] = "published") -> Parts:
        """Return part -> pairs by one of ``splits`` or by a split of the user's: see `find_split`.

        Raises:
            UserError: another layout, a file without its partners, or a split that does not fit.
        """
        pairs = self.read(root)
        if isinstance(split, str) and split in self.splits:
            return self.splits[split](pairs)
        names = Counter(pair.name for pair in pairs)
        if repeated := [name for name, count in names.items() if count > 1]:
            raise UserError(
                f"{root}: several images of {self.name} are called {some(repeated)}, so a split by names cannot tell "
                f"them apart: rename them, or use split={' or '.join(map(repr, self.splits))}"
            )
        chosen = find_split(split, root)
        return {part: choose(pairs, chosen, part) for part in chosen.parts}


def split_by_place(pairs: Sequence[Pair], val: Collection[str], test: Collection[str]) -> Parts:
    """Return part -> pairs by place, a pair's name up to its last ``_``; places not listed are ``train``."""
    parts: Parts = {part: [] for part in PARTS}
    for pair in pairs:
        place = pair.name.rpartition("_")[0]
        parts["test" if place in test else "val" if place in val else "train"].append(pair)
    return parts


def split_by_folder(pairs: Sequence[Pair], level: int) -> Parts:
    """Return part -> pairs by the folder ``train``, ``val`` or ``test``, so many levels above that of the image."""
    parts: Parts = {}
    for pair in pairs:
        parts.setdefault(pair.cloudy[0].path.parents[level].name, []).append(pair)
    return parts
