"""Runs compared on the same images: means, paired differences to a baseline, and how far to trust them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from declouds.errors import UserError
from declouds.evaluation.metric_names import target
from declouds.evaluation.statistics import Estimate, difference, estimate, holm, signed_rank
from declouds.report.compared_runs import ALL, CHANGE, COVER, Bin, Comparable, Entry, check_comparable, sort_into_bins

FEW = 5  # images: an interval of fewer means little
DEFAULT_METRICS = (
    ("official.psnr", "official.ssim", "official.lpips"),
    ("standard.psnr", "standard.ssim", "standard.lpips"),  # without the official protocol
)
APART = ("standard.psnr.cloudy_pixels", "standard.psnr.clear_pixels")  # shown as well where there are masks


class Difference(NamedTuple):
    """A run minus the baseline, image by image.

    ``p`` is that of `signed_rank`, ``p_holm`` the same corrected for the number of comparisons; both are NaN with a
    ``reason`` where there is no test.
    """

    estimate: Estimate
    p: float
    p_holm: float
    reason: str


class Cell(NamedTuple):
    """One run, metric and bin: the mean over images (each first averaged over seeds), and the difference.

    ``spread`` is the standard deviation of the seeds' means, NaN for one seed. The baseline has no difference.
    """

    estimate: Estimate
    seeds: int
    spread: float
    difference: Difference | None


@dataclass(frozen=True)
class Comparison:
    """Every run x metric x bin; the first bin holds all images.

    Attributes:
        baseline: the run that the others are compared with.
        runs: their names in order.
        metrics: keys like ``official.psnr``.
        bins: those that hold an image, all images first.
        cells: (run, metric, name of the bin) -> `Cell`.
        protocols: protocol -> one line on how it measures, where known.
        notes: what a reader must know before trusting the figures, one sentence each.
    """

    baseline: str
    runs: tuple[str, ...]
    metrics: tuple[str, ...]
    bins: tuple[Bin, ...]
    cells: dict[tuple[str, str, str], Cell]
    protocols: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def at(self, run: str, metric: str, bin_name: str = ALL) -> Cell:
        """Return one cell, by default of all images."""
        return self.cells[run, metric, bin_name]


def compare_runs(
    runs: Sequence[Comparable],
    baseline: str | None = None,
    metrics: Sequence[str] | None = None,
    *,
    same_images: bool = True,
    seed: int = 0,
) -> Comparison:
    """Compare runs with a baseline, image by image.

    Args:
        runs: results of runs (their best method; choose another by `RunResults.only`), or names with rows:
            ``(name, rows)``, or for seeds ``(name, [rows, rows, ...])`` or ``(name, [run, run, ...])``.
        baseline: the name of the one that the others are compared with, by default the first.
        metrics: keys like ``official.psnr``; by default PSNR, SSIM and LPIPS of the official protocol, and the PSNR of
            cloudy and clear pixels, as far as all runs have them.
        same_images: refuse images of one name that are differently cloudy. False where that is the very question (the
            same places at other resolutions); their names have to be the same all the same.
        seed: of the bootstrap.

    Raises:
        UserError: other images, splits or protocols, a metric that a run lacks, or no such baseline.
    """
    entries = [Entry.of(run) for run in runs]
    check_comparable(entries, metrics, same_images)
    labels = tuple(entry.label for entry in entries)
    baseline = labels[0] if baseline is None else baseline
    if baseline not in labels:
        raise UserError(f"no run is called {baseline}: choose the baseline of {', '.join(labels)}")
    first = entries[labels.index(baseline)]
    metrics = _default_metrics(entries) if metrics is None else tuple(dict.fromkeys(metrics))
    bins = _bins(entries, first.names())
    cells: dict[tuple[str, str, str], Cell] = {}
    for metric in metrics:
        base = _image_means(first.values(metric, first.names()))
        for entry in entries:
            values = entry.values(metric, first.names())
            for found, members in bins.items():
                reference = None if entry is first else base[members]
                cells[entry.label, metric, found.name] = _cell(values[:, members], reference, metric, seed)
    _correct(cells)
    protocols = {name: text for entry in entries for run in entry.files for name, text in run.protocols.items()}
    notes = (*_notes(entries, bins, metrics), *_left_out(cells))
    return Comparison(baseline, labels, metrics, tuple(bins), cells, protocols, notes)


def _default_metrics(entries: Sequence[Entry]) -> tuple[str, ...]:
    shared = [metric for metric in entries[0].metrics if all(metric in entry.metrics for entry in entries)]
    names = entries[0].names()
    for usual in DEFAULT_METRICS:
        chosen = [metric for metric in usual if metric in shared]
        if chosen:
            apart = [
                key for key in APART if key in shared and not all(np.isnan(e.values(key, names)).all() for e in entries)
            ]
            return (*chosen, *apart)
    raise UserError(
        f"{' and '.join(entry.label for entry in entries[:2])} share none of the usual metrics: choose --metrics of "
        f"{', '.join(shared) or '(nothing)'}"
    )


def _bins(entries: Sequence[Entry], names: list[str]) -> dict[Bin, np.ndarray]:
    """Return the bins of all runs, by the facts of the first that knows them."""
    facts = {}
    for fact in (COVER, CHANGE):
        known = [entry.values(fact, names)[0] for entry in entries]
        facts[fact] = next((values for values in known if not np.isnan(values).all()), known[0])
    return {Bin(ALL, len(names)): np.ones(len(names), bool), **sort_into_bins(facts)}


def _image_means(values: np.ndarray) -> np.ndarray:
    """Return the mean over seeds of each image, NaN where one seed has none. Shapes: (seeds, images) to (images)."""
    with np.errstate(invalid="ignore"):
        return values.mean(axis=0)


def _cell(values: np.ndarray, reference: np.ndarray | None, metric: str, seed: int) -> Cell:
    """Sum up one bin. Shapes: values (seeds, images), reference (images)."""
    means = _image_means(values)
    finite = values[:, np.isfinite(means)]
    spread = float(finite.mean(axis=1).std(ddof=1)) if len(values) > 1 and finite.size else math.nan
    return Cell(estimate(means, seed), len(values), spread, _difference(means, reference, metric, seed))


def _difference(means: np.ndarray, reference: np.ndarray | None, metric: str, seed: int) -> Difference | None:
    if reference is None:
        return None
    differences = difference(means, reference, metric)
    test = signed_rank(differences)
    return Difference(estimate(differences, seed), test.p, math.nan, test.reason)


def _correct(cells: dict[tuple[str, str, str], Cell]) -> None:
    """Fill in the corrected p-values: one family of all images, one of all bins, each over runs and metrics."""
    for of_all in (True, False):
        family = {
            key: cell.difference
            for key, cell in cells.items()
            if cell.difference is not None and (key[2] == ALL) == of_all
        }
        corrected = holm([found.p for found in family.values()])
        for (key, found), p in zip(family.items(), corrected, strict=True):
            cells[key] = cells[key]._replace(difference=found._replace(p_holm=p))


def _notes(entries: Sequence[Entry], bins: dict[Bin, np.ndarray], metrics: Sequence[str]) -> list[str]:
    total, *parts = bins
    few = [f"{found.name} ({found.images})" for found in bins if found.images < FEW]
    notes = [f"An interval of so few images means little: {', '.join(few)}."] if few else []
    if parts and parts[0].fact == CHANGE:
        notes.append("There are no cloud masks: images are sorted by image.change, the mean |cloudy - clear|.")
    if parts and sum(found.images for found in parts) < total.images:
        unknown = total.images - sum(found.images for found in parts)
        notes.append(f"{unknown} images are in no bin: their {parts[0].fact} is not known.")
    single = [entry.label for entry in entries if len(entry.seeds) == 1]
    if len(single) < len(entries):
        several = [f"{entry.label} ({len(entry.seeds)})" for entry in entries if len(entry.seeds) > 1]
        notes.append(f"Each image is first averaged over seeds: {', '.join(several)}.")
    if single:
        notes.append(
            f"One training each: {', '.join(single)}. None of these figures covers the variation between seeds."
        )
    sizes = [metric for metric in metrics if target(metric) == 0]
    if sizes:
        notes.append(f"Best at 0, so the difference is that of sizes, |run| - |baseline|: {', '.join(sizes)}.")
    shares = [metric for metric in metrics if target(metric)]
    if shares:
        notes.append(f"Best at 0.5 or 0.9, so the difference is that of distances to it: {', '.join(shares)}.")
    return notes


def _left_out(cells: dict[tuple[str, str, str], Cell]) -> list[str]:
    """Say which means rest on fewer images than there are."""
    notes = []
    for (run, metric, name), cell in cells.items():
        _, _, _, _, infinite, missing = cell.estimate
        if name == ALL and infinite:
            notes.append(f"{run}, {metric}: {infinite} images equal to the clear one (infinite) are left out.")
        if name == ALL and missing:
            notes.append(f"{run}, {metric}: not defined for {missing} images, which are left out.")
    return notes
