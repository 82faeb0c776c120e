"""What training will cost, from two iterations of every stage."""

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
    """What a stage will cost: figures for the full stage, seconds and bytes as measured on its first iterations.

    A stage that is in the store of trained stages, ``shared``, costs nothing. ``outcome`` is what the trial trained.
    """

    stage: Stage
    iterations: int
    images: int
    seconds: float
    memory: int
    shared: bool
    outcome: Weights


def costs_of_stages(training: CoarseToFine, known: dict[str, StageCost] | None = None) -> list[StageCost]:
    """Run two iterations of every stage in a folder that is deleted again, and return what the full run costs.

    Args:
        training: the run.
        known: digest -> cost, of stages that were tried in other runs; those of this run are added.
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
