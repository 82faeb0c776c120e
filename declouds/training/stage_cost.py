"""Estimate of training costs from two iterations of every stage."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from declouds.hardware import peak_memory
from declouds.training import checkpoint
from declouds.training.coarse_to_fine import CoarseToFine
from declouds.training.settings import Weights
from declouds.training.stage import Stage
from declouds.training.stage_run import StageRun


class StageCost(NamedTuple):
    """Cost of a full stage, extrapolated from its first iterations; ``memory`` is the peak in bytes.

    A ``shared`` stage, found in the store of trained stages, takes 0 seconds. ``outcome`` holds the trial's weights.
    """

    stage: Stage
    iterations: int
    images: int
    seconds: float
    memory: int
    shared: bool
    outcome: Weights


def costs_of_stages(training: CoarseToFine, known: dict[str, StageCost] | None = None) -> list[StageCost]:
    """Run two iterations of every stage in a temporary folder, and return the costs of the full run.

    Args:
        training: the run.
        known: digest -> cost of stages measured before; those of this run are added.
    """
    known, state = {} if known is None else known, training.given_state
    digests = training.stage_digests()
    for run, digest in zip(training.runs, digests, strict=True):
        if digest not in known:
            known[digest] = _cost(training, run, digest, state)
        state |= known[digest].outcome
    return [known[digest] for digest in digests]


def _cost(training: CoarseToFine, run: StageRun, digest: str, state: Weights) -> StageCost:
    shared = training.store is not None and training.store.has(digest)
    if training.store is not None and shared:
        seconds, outcome = 0.0, checkpoint.load(training.store.weights(digest))
    else:
        with TemporaryDirectory() as folder:
            seconds, outcome = run.try_out(state, Path(folder))
    count, images = run.stage.iterations, run.stage.iterations * run.stage.batch_size
    return StageCost(run.stage, count, images, seconds * count, peak_memory(), shared, outcome["average"])
