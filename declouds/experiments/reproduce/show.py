"""The plan and the outcome of a table, for the terminal and as Markdown."""

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

import declouds
from declouds.evaluation.metric_names import decimals
from declouds.evaluation.statistics import CONFIDENCE, Estimate, summarise
from declouds.evaluation.statistics import Row as Measured
from declouds.experiments.reproduce.data_check import READY, WRONG
from declouds.experiments.reproduce.plan import Plan
from declouds.experiments.reproduce.table import Figure, Row, Table

PASS, FAIL, MISSING, NO_EXPECTATION = "PASS", "FAIL", "MISSING", "NO EXPECTATION"
ALL_PASSED, SOME_FAILED, NOTHING_RUN = 0, 1, 3  # exit codes; 2 is that of user errors
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


COLUMNS = ("row", "method", "metric", "published", "expected", "obtained", "")
COLOURS = {PASS: "green", FAIL: "bold red", MISSING: "yellow", NO_EXPECTATION: "yellow"}
WIDE = 150  # columns where there is no terminal: nothing is folded


def print_plan(table: Table, plans: Sequence[Plan], kept: Sequence[bool], console: Console | None = None) -> None:
    """Print what can be done for each row, and for the others what to fetch or to run; ``kept`` lists old results."""
    console = console or _console()
    grid = Grid("row", "what", "data", "weights", "state", title=Text(f"{table.name}: {table.about}"))
    for plan, old in zip(plans, kept, strict=True):
        state = "ready, results are kept" if old else plan.state
        cells = (plan.row.name, plan.row.title, str(plan.root), _weights(plan.row), state)
        grid.add_row(*map(Text, cells))
    console.print(grid)
    waiting = [plan for plan in plans if plan.state != READY]
    for (_, steps), alike in itertools.groupby(waiting, key=lambda plan: (plan.why, plan.steps)):
        found = list(alike)
        print(f"\n{', '.join(plan.row.name for plan in found)}: {found[0].state}: {found[0].why}")
        for step in steps:
            print(f"    {step}")
    if waiting:
        print()


def print_outcomes(table: Table, outcomes: Sequence[Outcome], console: Console | None = None) -> None:
    """Print the table: published, expected and obtained, figure by figure."""
    grid = Grid(
        *COLUMNS, title=Text(f"{table.name}, in brackets the {CONFIDENCE:.0%} interval of the mean over images")
    )
    for outcome in outcomes:
        for cells in _lines(outcome):
            grid.add_row(*map(Text, cells[:-1]), Text(cells[-1], style=COLOURS[cells[-1]]))
        grid.add_section()
    (console or _console()).print(grid)
    for line in _remarks(outcomes):
        print(line)
    print(_totals(outcomes))


def as_markdown(table: Table, outcomes: Sequence[Outcome], device: str) -> str:
    """Return the same as Markdown."""
    lines = [f"# {table.name}", "", table.about, ""]
    lines += [f"| {' | '.join(COLUMNS)} |", f"|{' --- |' * len(COLUMNS)}"]
    lines += [f"| {' | '.join(cells)} |" for outcome in outcomes for cells in _lines(outcome)]
    lines += ["", f"In brackets the {CONFIDENCE:.0%} bootstrap interval of the mean over images.", ""]
    lines += [f"- {line}" for line in _remarks(outcomes)]
    lines += ["", f"{_totals(outcomes)} Measured with declouds {declouds.__version__} on {device}.", ""]
    return "\n".join(lines)


def _lines(outcome: Outcome) -> Iterator[tuple[str, ...]]:
    for figure, estimate, verdict in outcome.verdicts:
        metric = figure.metric
        published = "-" if figure.published is None else _number(figure.published, metric)
        yield (
            outcome.row.name,
            figure.method,
            metric,
            published,
            _expected(figure),
            _obtained(estimate, metric),
            verdict,
        )


def _expected(figure: Figure) -> str:
    if figure.expected is None:
        return "none yet"
    return f"{_number(figure.expected, figure.metric)} ± {figure.tolerance:g}"


def _obtained(estimate: Estimate | None, metric: str) -> str:
    if estimate is None:
        return "-"
    interval = (
        f" [{_number(estimate.low, metric)}, {_number(estimate.high, metric)}]" if estimate.low == estimate.low else ""
    )
    return _number(estimate.mean, metric) + interval


def _number(value: float, metric: str) -> str:
    return f"{value:.{decimals(metric)}f}"


def _weights(row: Row) -> str:
    if row.zoo is not None:
        return f"published: {row.zoo}"
    return f"trained: {row.run}" if row.run is not None else "none needed"


def _remarks(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Yield what has to be said beside the figures, each thing once."""
    said: dict[str, list[str]] = {}
    for outcome in outcomes:
        published = any(figure.published is not None for figure in outcome.row.figures)
        source = f"published: {outcome.row.source}" if published and outcome.row.source else ""
        for text in (*outcome.notes, source):
            if text:
                said.setdefault(text, []).append(outcome.row.name)
    for text, rows in said.items():
        yield f"{', '.join(rows)}: {text}"


def _totals(outcomes: Sequence[Outcome]) -> str:
    verdicts = [outcome.verdict for outcome in outcomes]
    counts = [f"{verdicts.count(verdict)} {verdict}" for verdict in COLOURS if verdict in verdicts]
    return f"{len(verdicts)} rows: {', '.join(counts)}."


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=WIDE)
