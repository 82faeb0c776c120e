"""What a sweep will cost, from two iterations of every stage that is not trained yet and one image a cell."""

from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import torch
from mmengine.config import Config
from rich.console import Console
from rich.table import Table
from rich.text import Text

from declouds.experiments.cell import FAILED, Cell
from declouds.experiments.sweep import Sweep
from declouds.models import build_model
from declouds.progress import tracked
from declouds.registry import DATAMODULES
from declouds.training.coarse_to_fine import CoarseToFine
from declouds.training.stage_cost import StageCost, costs_of_stages


class CellCost(NamedTuple):
    """What a cell will cost: stages that it trains itself, those that it shares, and seconds."""

    cell: Cell
    own: list[str]
    shared: list[str]
    training: float
    testing: float


def costs_of(cells: list[Cell], stages: Path) -> list[CellCost]:
    """Return the cost of every cell, in order; a stage that several train counts for the first of them."""
    known: dict[str, StageCost] = {}
    found = []
    for cell in tracked(cells, "trying out"):
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):  # each says of its stages what the table says
            training = CoarseToFine(Config(cell.config), cell.folder / "run", stages=stages)
            before = set(known)
            costs = dict(zip(training.stage_digests(), costs_of_stages(training, known), strict=True))
        own = {digest: cost for digest, cost in costs.items() if digest not in before and not cost.shared}
        found.append(
            CellCost(
                cell,
                [cost.stage.name for cost in own.values()],
                [cost.stage.name for digest, cost in costs.items() if digest not in own],
                sum(cost.seconds for cost in own.values()),
                _seconds_of_test(training, cell),
            )
        )
    return found


def print_costs(sweep: Sweep, stages: Path, jobs: int) -> None:
    """Print the cells, what is left to do for each, and the sum."""
    todo = sweep.to_run()
    costs = {cost.cell.name: cost for cost in costs_of(todo, stages)}
    table = Table(title=f"{len(sweep.cells)} cells, {len(todo)} to run")
    for column in ("cell", "trains", "shares", "training, min", "test, min"):
        table.add_column(column, justify="right" if "min" in column else "left")
    for cell in sweep.cells:
        cost = costs.get(cell.name)
        if cost is None:
            table.add_row(Text(cell.name), Text(_why_not(sweep, cell)), "", "", "")
            continue
        minutes = (f"{seconds / 60:.1f}" for seconds in (cost.training, cost.testing))
        table.add_row(Text(cell.name), Text(", ".join(cost.own) or "-"), Text(", ".join(cost.shared) or "-"), *minutes)
    total = sum(cost.training + cost.testing for cost in costs.values())
    Console(soft_wrap=True).print(table)
    print(f"about {total / 3600:.2f} hours of one process, {total / 3600 / jobs:.2f} with --jobs {jobs} if it had "
          "that many times the machine. The first iterations are slow, so training is an upper estimate; "
          "validation comes on top.")  # fmt: skip


def _why_not(sweep: Sweep, cell: Cell) -> str:
    """Return why a cell is not run."""
    if cell.name in sweep.unusable:
        return sweep.unusable[cell.name]
    state = sweep.states[cell.folder]
    return f"has failed: {state.why} (--retry runs it again)" if state.status == FAILED else "is finished"


def _seconds_of_test(training: CoarseToFine, cell: Cell) -> float:
    """Return the seconds that the test images take, from one of them."""
    datamodule = DATAMODULES.build(Config(cell.config).get("test_datamodule", training.config.datamodule))
    datamodule.setup("test")
    if not datamodule.test_dataset:
        return 0.0
    model, cloudy = build_model(training.settings.model_config), datamodule.test_dataset[0]["cloudy"][None]
    model.to("cuda" if torch.cuda.is_available() else "cpu").eval()
    cloudy = cloudy.to(next(model.parameters()))
    noise = torch.randn(1, model.bands, *cloudy.shape[-2:]).to(cloudy)
    started = perf_counter()
    model.predict(cloudy, noise, name=[datamodule.test_dataset[0]["name"]])
    return (perf_counter() - started) * len(datamodule.test_dataset)
