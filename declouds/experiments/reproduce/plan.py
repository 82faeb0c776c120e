"""What can be done for each row of a table: found out before any long work."""

from dataclasses import dataclass, field
from pathlib import Path

from mmengine.config import Config

import declouds
from declouds.errors import UserError
from declouds.experiments.reproduce.data_check import READY, TO_TRAIN, WRONG, Data, Known, Obstacle, find_data
from declouds.experiments.reproduce.table import DataSet, Row, Table
from declouds.experiments.reproduce.weights_check import Weights, find_weights, for_shell, training_command
from declouds.training.config import load_config


@dataclass
class Plan:
    """What can be done for a row.

    Attributes:
        row: the row.
        root: folder of its data set.
        config_file: its config.
        config: the same, with the overrides and the root.
        state: ``ready``, ``to train``, ``missing`` (something has to be brought to this machine) or ``wrong`` (what is
            here is something else).
        why: in words, if it is not ready.
        steps: what the user can do about it, line by line.
        data: if they are here.
        weights: if they are here.
    """

    row: Row
    root: Path
    config_file: Path
    config: Config
    state: str = READY
    why: str = ""
    steps: list[str] = field(default_factory=list)
    data: Data | None = None
    weights: Weights | None = None


def make_plan(table: Table, rows: list[Row], roots: dict[str, Path], work_dirs: Path) -> list[Plan]:
    """Look for what each row needs; published weights are fetched, nothing else is done.

    Args:
        table: of the rows.
        rows: those to reproduce.
        roots: name of a data set -> where it lies, if not where the table says.
        work_dirs: folder of the folders of runs.

    Raises:
        UserError: a config is missing or broken; ``roots`` names an unknown data set or a folder that does not exist.
    """
    for key, root in roots.items():
        if key not in table.data:
            raise UserError(
                f"--data {key}={root}: table {table.name} has no such data set, only {', '.join(table.data)}"
            )
        if not root.is_dir():
            raise UserError(f"--data {key}={root}: there is no such folder")
    plans = []
    for row in rows:
        root, config_file = roots.get(row.data, Path(table.data[row.data].root)), _config_file(table, row)
        config = load_config(config_file, list(row.cfg_options))
        config.datamodule.root = str(root)
        plans.append(Plan(row, root, config_file, config))
    known: Known = {}
    for plan in plans:  # only after every config was read
        _look(plan, table.data[plan.row.data], work_dirs, known)
    return plans


def look_for_weights(plan: Plan, work_dirs: Path) -> None:
    """Fill in the weights of a row whose data are here, or say why they are not."""
    assert plan.data is not None
    plan.state, plan.why, plan.steps = READY, "", []
    try:
        plan.weights = find_weights(plan.row, plan.config, plan.data, work_dirs)
    except Obstacle as obstacle:
        plan.state, plan.why = obstacle.state, obstacle.why
        if obstacle.state == TO_TRAIN:
            plan.why += f"; training takes {plan.row.training or 'a time that --dry-run estimates'}"
            plan.steps = [for_shell(training_command(plan.row, plan.config_file, plan.root, work_dirs))]
        elif obstacle.state == WRONG:
            plan.steps = [
                "# keep it under another name, or give another folder by --work-dirs, and train the row again"
            ]


def _look(plan: Plan, data: DataSet, work_dirs: Path, known: Known) -> None:
    try:
        plan.data = find_data(plan.row, data, plan.config, plan.root, known)
    except Obstacle as obstacle:
        plan.state, plan.why = obstacle.state, obstacle.why
        plan.steps = [
            f"# {data.title}",
            f"# from {data.source}",
            *data.fetch,
            f"# where it lies elsewhere: --data {plan.row.data}=FOLDER",
        ]
        return
    look_for_weights(plan, work_dirs)


def _config_file(table: Table, row: Row) -> Path:
    """Return the config of a row: seen from where we are, from the table, or from the checkout of this package."""
    folders = (Path(), table.folder, Path(declouds.__file__).parents[1])
    found = next((folder / row.config for folder in folders if (folder / row.config).is_file()), None)
    if found is None:
        raise UserError(f"row {row.name} needs {row.config}, which is not here: go to the folder that holds configs/")
    return found
