"""Reproduce a table: look, say what is planned, train what may be trained, measure row by row, compare."""

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch

from declouds.errors import UserError
from declouds.evaluation.lpips_net import Lpips
from declouds.evaluation.tables import write_texts
from declouds.experiments.reproduce.data_check import READY, TO_TRAIN
from declouds.experiments.reproduce.measure import check_folder, is_kept, measure_row, needs_lpips
from declouds.experiments.reproduce.plan import Plan, look_for_weights, make_plan
from declouds.experiments.reproduce.show import (
    Outcome,
    as_markdown,
    exit_code,
    failed,
    judge,
    not_measured,
    print_outcomes,
    print_plan,
)
from declouds.experiments.reproduce.table import Table
from declouds.experiments.reproduce.weights_check import for_process, for_shell, training_command

LoadLpips = Callable[[], Lpips | None]


@dataclass
class Reproduction:
    """One go at a table.

    Args:
        table: the table.
        rows: names of the rows, or None for all.
        roots: name of a data set -> where it lies, if not where the table says.
        work_dirs: folder of the folders of runs.
        out: folder of the results, one folder a row.
        train: train what has not been trained.
        load_lpips: called if a figure is of LPIPS.
        device: where to predict.
    """

    table: Table
    rows: list[str] | None
    roots: dict[str, Path]
    work_dirs: Path
    out: Path
    train: bool
    load_lpips: LoadLpips
    device: torch.device
    _lpips: Lpips | None = field(default=None, init=False)

    def plan(self) -> list[Plan]:
        """Find out what can be done and print it.

        Raises:
            UserError: nothing could be done whatever the rows need: unknown rows or data, foreign results in ``out``.
        """
        rows = self.table.chosen(self.rows)
        for row in rows:
            check_folder(self.out / row.name)
        plans = make_plan(self.table, rows, self.roots, self.work_dirs)
        if any(needs_lpips(plan) for plan in plans if plan.state in (READY, TO_TRAIN)):
            self._lpips = self.load_lpips()
        print_plan(self.table, plans, [plan.state == READY and self._is_kept(plan) for plan in plans])
        return plans

    def run(self, plans: list[Plan]) -> int:
        """Train and measure row by row, print the table, write it to ``out``, and return the exit code."""
        outcomes = list(self._outcomes(plans))
        print_outcomes(self.table, outcomes)
        text = as_markdown(self.table, outcomes, str(self.device))
        (file,) = write_texts(self.out, {f"{self.table.name}.md": text}, overwrite=True)
        print(f"written to {file}")
        return exit_code(outcomes)

    def _outcomes(self, plans: list[Plan]) -> Iterator[Outcome]:
        for number, plan in enumerate(plans, 1):
            row = plan.row
            try:
                if plan.state == TO_TRAIN and self.train:
                    self._train(plan, f"row {number} of {len(plans)}")
                if plan.state != READY:
                    yield not_measured(plan)
                    continue
                if not self._is_kept(plan):
                    assert plan.data is not None
                    print(
                        f"row {number} of {len(plans)}: measuring {row.name}, {len(plan.data.images)} images",
                        flush=True,
                    )
                yield judge(plan, measure_row(plan, self.out / row.name, self._lpips, self.device))
            except UserError as error:  # the other rows go on
                yield failed(row, str(error))

    def _train(self, plan: Plan, place: str) -> None:
        """Train the run of a row in a process of its own.

        Raises:
            UserError: training failed.
        """
        look_for_weights(plan, self.work_dirs)
        if plan.state != TO_TRAIN:  # a row before this one has the same run
            return
        words = training_command(plan.row, plan.config_file, plan.root, self.work_dirs)
        print(f"{place}: {for_shell(words)}", flush=True)
        code = subprocess.run(for_process(words), check=False).returncode
        if code:
            raise UserError(f"training stopped with exit code {code}: see above, and resume with --train")
        look_for_weights(plan, self.work_dirs)

    def _is_kept(self, plan: Plan) -> bool:
        return is_kept(plan, self.out / plan.row.name, self._lpips, self.device)
