"""What may be compared: runs measured on the same images, in the same way."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from declouds.errors import UserError, some
from declouds.evaluation.results import RunResults
from declouds.evaluation.statistics import Row, column, metrics_of

Rows = Sequence[Row]
# A run; or a name and its rows, or what was measured for each of several seeds.
Comparable = RunResults | tuple[str, Rows | Sequence[Rows] | Sequence[RunResults]]

SAME = 1e-3  # facts of one image, measured on two machines


@dataclass(frozen=True)
class Entry:
    """One line of a comparison: a name, and the rows of each seed (a run on its own is one seed)."""

    label: str
    seeds: tuple[Rows, ...]
    files: tuple[RunResults, ...] = ()

    @classmethod
    def of(cls, run: Comparable) -> "Entry":
        """Return the entry of a run, or of a name and its rows or runs."""
        if isinstance(run, RunResults):
            return cls(run.label, (run.rows(),), (run,))
        label, content = run
        repeats: Sequence[Any] = [content] if content and isinstance(content[0], dict) else content
        return cls(
            label,
            tuple(item.rows() if isinstance(item, RunResults) else item for item in repeats),
            tuple(item for item in repeats if isinstance(item, RunResults)),
        )

    @property
    def metrics(self) -> list[str]:
        """The metrics that every seed has."""
        each = [metrics_of(rows) for rows in self.seeds]
        return [metric for metric in each[0] if all(metric in metrics for metrics in each)]

    def names(self) -> list[str]:
        """Return the names of the images."""
        return [row["name"] for row in self.seeds[0]]

    def values(self, key: str, names: Sequence[str]) -> np.ndarray:
        """Return what each seed measured for these images. Shapes: (seeds, images)."""
        sorted_rows = []
        for rows in self.seeds:
            by_name = {row["name"]: row for row in rows}
            sorted_rows.append([by_name[name] for name in names])
        return np.stack([column(rows, key) for rows in sorted_rows])


def check_comparable(entries: Sequence[Entry], metrics: Sequence[str] | None, same_images: bool = True) -> None:
    """Make sure that a comparison means something.

    Args:
        entries: what is compared.
        metrics: the metrics to compare; None for those that all have.
        same_images: also that images of one name were equally cloudy, which distinguishes data sets with equal names.

    Raises:
        UserError: two of one name, other images, another split or protocol, or a metric that one of them lacks.
    """
    if not entries:
        raise UserError("nothing to compare: give two runs or more")
    labels = [entry.label for entry in entries]
    if twice := sorted({label for label in labels if labels.count(label) > 1}):
        raise UserError(f"two runs are called {', '.join(twice)}: give each a name of its own")
    for entry in entries:
        if not entry.seeds or not entry.seeds[0]:
            raise UserError(f"{entry.label}: holds no image: evaluate it again")
        for rows in entry.seeds:
            _check_names(entries[0], entry, rows)
        missing = [metric for metric in metrics or () if metric not in entry.metrics]
        if missing:
            known = ", ".join(entry.metrics)
            raise UserError(
                f"{entry.label}: {', '.join(missing)} was not measured: choose of {known}, or evaluate again"
            )
    for a, b in pairwise(run for entry in entries for run in entry.files):
        _check_files(a, b)
    if same_images:
        for entry in entries[1:]:
            _check_facts(entries[0], entry)


def _check_names(first: Entry, entry: Entry, rows: Rows) -> None:
    names = [row["name"] for row in rows]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(f"{entry.label}: holds {some(twice)} twice: evaluate it with unique names")
    alone = [(first, set(first.names()) - set(names)), (entry, set(names) - set(first.names()))]
    if odd := [f"only {part.label} has {some(sorted(only), 3)}" for part, only in alone if only]:
        raise UserError(
            f"{_described(first)} and {_described(entry)} were measured on different images ({'; '.join(odd)}): "
            "evaluate both on the same split"
        )


def _check_files(a: RunResults, b: RunResults) -> None:
    """Compare what two files say of their split and protocols."""
    digests = [run.split.get("digest") for run in (a, b)]
    if None not in digests and digests[0] != digests[1]:
        raise UserError(
            f"{a.path} is of {_split(a)}, {b.path} of {_split(b)}, which are other splits: evaluate both on the same"
        )
    for protocol in a.protocols.keys() & b.protocols.keys():
        if a.protocols[protocol] != b.protocols[protocol]:
            raise UserError(
                f"{a.path} and {b.path} measured the protocol {protocol} in other ways "
                f"({a.protocols[protocol]!r}, {b.protocols[protocol]!r}): evaluate both with one version of declouds"
            )


def _check_facts(first: Entry, entry: Entry) -> None:
    names = first.names()
    for fact in (COVER, CHANGE):
        a, b = (part.values(fact, names)[0] for part in (first, entry))
        other = np.isfinite(a) & np.isfinite(b) & (np.abs(a - b) > SAME)
        if other.any():
            odd = [name for name, differs in zip(names, other, strict=True) if differs]
            raise UserError(
                f"{_described(first)} and {_described(entry)} have images of one name that are not the same "
                f"({fact} differs for {some(odd, 3)}): evaluate both on one data set with one set of masks"
            )


def _described(entry: Entry) -> str:
    return f"{entry.label} ({_split(entry.files[0])})" if entry.files else entry.label


def _split(run: RunResults) -> str:
    words = [str(run.split[key]) for key in ("split", "file", "part", "name") if run.split.get(key)]
    return f"{':'.join(words) or 'no split'}, {len(run.rows())} images"


COVER, CHANGE = "image.cover", "image.change"
COVER_EDGES = (0.0, 0.1, 0.3, 0.6, 1.0)
ALL = "all images"


class Bin(NamedTuple):
    """Some of the images.

    ``fact`` is what they are sorted by, empty for all images; an image lies in the bin if low <= value < high, in the
    last bin also if value = high.
    """

    name: str
    images: int
    fact: str = ""
    low: float = -math.inf
    high: float = math.inf


def sort_into_bins(facts: dict[str, np.ndarray]) -> dict[Bin, np.ndarray]:
    """Return each bin that holds an image with its members (N, bool): by cover, or without masks in thirds by change.

    Args:
        facts: ``image.cover`` and ``image.change`` of every image, NaN where not known.
    """
    cover, change = facts[COVER], facts[CHANGE]
    if not np.isnan(cover).all():
        names = [f"cover {low:.0%}-{high:.0%}".replace("%-", "-") for low, high in pairwise(COVER_EDGES)]
        return _bins(COVER, cover, COVER_EDGES, names)
    known = change[~np.isnan(change)]
    if len(known) < 3:
        return {}
    edges = tuple(float(edge) for edge in np.quantile(known, (0, 1 / 3, 2 / 3, 1)))
    names = [
        f"change {third} third, {low:.3f}-{high:.3f}"
        for third, (low, high) in zip(("least", "middle", "most"), pairwise(edges), strict=True)
    ]
    return _bins(CHANGE, change, edges, names)


def _bins(fact: str, values: np.ndarray, edges: tuple[float, ...], names: list[str]) -> dict[Bin, np.ndarray]:
    found = {}
    for name, (low, high) in zip(names, pairwise(edges), strict=True):
        members = (values >= low) & ((values < high) | ((values == high) & (high == edges[-1])))
        if members.any():
            found[Bin(name, int(members.sum()), fact, low, high)] = members
    return found
