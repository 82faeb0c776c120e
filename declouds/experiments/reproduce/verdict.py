"""Does a row come out as expected?"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from declouds.evaluation.statistics import Estimate, summarise
from declouds.evaluation.statistics import Row as Measured
from declouds.experiments.reproduce.obstacle import WRONG
from declouds.experiments.reproduce.plan import Plan
from declouds.experiments.reproduce.table import Figure, Row

PASS, FAIL, MISSING, NO_EXPECTATION = "PASS", "FAIL", "MISSING", "NO EXPECTATION"
ALL_PASSED, SOME_FAILED, NOTHING_RUN = 0, 1, 3  # exit codes; 2 is that of what the user has to mend
ROUNDING = 1e-9  # a difference of exactly the tolerance passes


@dataclass
class Outcome:
    """What a row came to.

    Attributes:
        row: the row.
        verdicts: one a figure: what was obtained, if anything was, and what that means.
        notes: what has to be said beside it.
    """

    row: Row
    verdicts: list[tuple[Figure, Estimate | None, str]]
    notes: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        """Of the whole row: a figure that could not be measured counts only if none could."""
        found = [verdict for _, _, verdict in self.verdicts]
        return next((one for one in (FAIL, NO_EXPECTATION, PASS) if one in found), MISSING)


def judge(plan: Plan, methods: dict[str, list[Measured]]) -> Outcome:
    """Compare what was measured with what was expected."""
    wanted = {figure.method for figure in plan.row.figures}
    means = {method: summarise(_only(rows, plan.row)) for method, rows in methods.items() if method in wanted}
    verdicts, notes = [], []
    for figure in plan.row.figures:
        estimate = means.get(figure.method, {}).get(figure.metric)
        if figure.method not in methods:
            verdict = FAIL
            notes.append(f"the model has no method {figure.method}, only {', '.join(methods)}")
        elif estimate is None and figure.metric.endswith(".lpips"):
            verdict = MISSING
            notes.append("LPIPS was not measured: give AlexNet's layers by --lpips-weights")
        else:
            verdict = _verdict(figure, estimate)
        verdicts.append((figure, estimate, verdict))
    assert plan.data is not None
    said = [plan.data.unchecked, plan.row.remark]
    return Outcome(plan.row, verdicts, list(dict.fromkeys([*notes, *filter(None, said)])))


def not_measured(plan: Plan) -> Outcome:
    """Return the outcome of a row that is not ready: it fails if something else is in place of what it needs."""
    return failed(plan.row, plan.why) if plan.state == WRONG else _alike(plan.row, MISSING, plan.why)


def failed(row: Row, why: str) -> Outcome:
    """Return the outcome of a row that could not be measured for a fault of what is here."""
    return _alike(row, FAIL, why)


def exit_code(outcomes: Iterable[Outcome]) -> int:
    """Return 0 if every row that could be run passed, 1 if one did not, 3 if none could be run."""
    verdicts = [outcome.verdict for outcome in outcomes if outcome.verdict != MISSING]
    if not verdicts:
        return NOTHING_RUN
    return ALL_PASSED if set(verdicts) == {PASS} else SOME_FAILED


def _alike(row: Row, verdict: str, why: str) -> Outcome:
    return Outcome(row, [(figure, None, verdict) for figure in row.figures], [why])


def _only(rows: list[Measured], row: Row) -> list[Measured]:
    """Return the rows without metrics that no figure is of: an interval takes a while."""
    metrics = {"name", *(figure.metric for figure in row.figures)}
    return [{key: value for key, value in measured.items() if key in metrics} for measured in rows]


def _verdict(figure: Figure, estimate: Estimate | None) -> str:
    if estimate is None or math.isnan(estimate.mean):
        return FAIL
    if figure.expected is None or figure.tolerance is None:
        return NO_EXPECTATION
    return PASS if abs(estimate.mean - figure.expected) <= figure.tolerance + ROUNDING else FAIL
