"""A table to reproduce: a TOML file of data sets, rows and figures."""

import dataclasses
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from declouds.errors import UserError

SHIPPED = Path(__file__).parent / "tables"
FORMAT = 1
METHODS_WITHOUT_WEIGHTS = ("cloudy",)

T = TypeVar("T")


@dataclass(frozen=True)
class Part:
    """The images of one part of a data set; what is not known is left out and not checked.

    Attributes:
        images: how many.
        names: SHA-256 of their sorted names, see `declouds.datamodules.splits.digest`.
        pixels: SHA-256 of their pixels, see `declouds.experiments.reproduce.data_check.pixels_digest`.
    """

    images: int | None = None
    names: str | None = None
    pixels: str | None = None


@dataclass(frozen=True)
class DataSet:
    """A data set, and how one gets it.

    Attributes:
        title: what it is, in a line.
        root: where its folder is looked for, unless the user says where it lies.
        source: who publishes it, and under which licence.
        fetch: what to do, line by line, so that it lies at ``root``.
        parts: name of a part -> its images.
    """

    title: str
    root: str
    source: str
    fetch: tuple[str, ...]
    parts: dict[str, Part]


@dataclass(frozen=True)
class Figure:
    """One number of a table.

    Attributes:
        method: ``cloudy``, ``prior``, ``diffusion``, ``DE`` or ``result``, see `declouds.evaluation.evaluate_model`.
        metric: with its protocol, as ``official.psnr``; the mean over the images is meant.
        published: by the row's source.
        expected: what we have obtained; without it nobody can say whether a figure is right.
        tolerance: how far from it a repetition may be.
    """

    method: str
    metric: str
    published: float | None = None
    expected: float | None = None
    tolerance: float | None = None


@dataclass(frozen=True)
class Row:
    """One model on one part of a data set. It has the weights of ``zoo`` or of ``run``, or needs none.

    Attributes:
        name: what the row is called, also that of its folder.
        title: in words.
        config: config file; it gives the data set and, of a run, the model.
        data: name of the data set in this table.
        figures: what is measured.
        cfg_options: overrides of the config, ``KEY=VALUE``.
        part: of the data set.
        zoo: name of published weights.
        run: name of the run's folder, of a model that is trained.
        training: what training it costs.
        seed: of the start noise.
        source: where the published figures stand, and by which protocol they were measured.
        remark: what must be said beside the figures.
    """

    name: str
    title: str
    config: str
    data: str
    figures: tuple[Figure, ...]
    cfg_options: tuple[str, ...] = ()
    part: str = "test"
    zoo: str | None = None
    run: str | None = None
    training: str = ""
    seed: int = 0
    source: str = ""
    remark: str = ""


@dataclass(frozen=True)
class Table:
    """A table: what it is about, its data sets by name, and its rows."""

    name: str
    folder: Path
    about: str
    data: dict[str, DataSet]
    rows: tuple[Row, ...]

    def chosen(self, names: list[str] | None) -> list[Row]:
        """Return the rows of these names, all of them if there are none.

        Raises:
            UserError: the table has no row of one of the names.
        """
        known = {row.name: row for row in self.rows}
        unknown = [name for name in names or () if name not in known]
        if unknown:
            raise UserError(f"table {self.name} has no row {', '.join(unknown)}: its rows are {', '.join(known)}")
        return [row for row in self.rows if not names or row.name in names]


def shipped_tables() -> list[str]:
    """Return the names of the tables that come with the package."""
    return sorted(path.stem for path in SHIPPED.glob("*.toml"))


def read_table(source: str) -> Table:
    """Read a table by its name, or a file of your own by its path.

    Raises:
        UserError: there is no such table, or the file is none.
    """
    path = SHIPPED / f"{source}.toml" if source in shipped_tables() else Path(source)
    if not path.is_file():
        raise UserError(
            f"no table {source}: give one of {', '.join(shipped_tables())}, or the path of a table of your own (.toml)"
        )
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: is not a TOML file ({error}): the shipped tables show how one is written") from error
    if content.pop("format", None) != FORMAT:
        raise UserError(f"{path}: has no line `format = {FORMAT}`, or is for another version of declouds")
    data = {key: _data_set(values, f"{path}: data.{key}") for key, values in content.pop("data", {}).items()}
    rows = tuple(_row(values, path) for values in content.pop("rows", []))
    table = _build(Table, dict(content, name=path.stem, folder=path.parent, data=data, rows=rows), str(path))
    _check_rows(table, path)
    return table


def _data_set(values: dict[str, Any], where: str) -> DataSet:
    parts = {name: _build(Part, part, f"{where}.parts.{name}") for name, part in values.get("parts", {}).items()}
    return _build(DataSet, values | dict(parts=parts, fetch=tuple(values.get("fetch", ()))), where)


def _row(values: dict[str, Any], path: Path) -> Row:
    where = f"{path}: row {values.get('name', '(without a name)')}"
    figures = tuple(_build(Figure, figure, where) for figure in values.get("figures", []))
    return _build(Row, values | dict(figures=figures, cfg_options=tuple(values.get("cfg_options", ()))), where)


def _build(kind: type[T], values: dict[str, Any], where: str) -> T:
    """Make a dataclass of the values, every key accounted for."""
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(values.keys() - fields.keys())
    missing = sorted(
        name for name, field in fields.items() if field.default is dataclasses.MISSING and name not in values
    )
    if unknown or missing:
        faults = [f"nothing reads {', '.join(unknown)}"] * bool(unknown) + [f"lacks {', '.join(missing)}"] * bool(
            missing
        )
        raise UserError(f"{where}: {' and '.join(faults)}: known are {', '.join(fields)}")
    return kind(**values)


def _check_rows(table: Table, path: Path) -> None:
    names = [row.name for row in table.rows]
    for row in table.rows:
        where = f"{path}: row {row.name}"
        if names.count(row.name) > 1:
            raise UserError(f"{where}: there are several of this name: give each row its own")
        if not row.name.replace("_", "").isalnum():
            raise UserError(f"{where}: a row's name is that of a folder: use letters, digits and _")
        if row.data not in table.data:
            raise UserError(f"{where}: there is no data.{row.data}: known are {', '.join(table.data)}")
        if row.zoo is not None and row.run is not None:
            raise UserError(f"{where}: has both zoo and run: its weights come from one of them")
        if not row.figures:
            raise UserError(f"{where}: has no figures: say what is measured")
        for figure in row.figures:
            _check_figure(figure, row, where)


def _check_figure(figure: Figure, row: Row, where: str) -> None:
    if figure.metric.partition(".")[0] not in ("official", "standard"):
        raise UserError(f"{where}: metric {figure.metric!r} names no protocol: write official.psnr, standard.ssim, ...")
    if (figure.expected is None) != (figure.tolerance is None):
        raise UserError(f"{where}: {figure.metric} has an expected value or a tolerance: give both or neither")
    for value in (figure.published, figure.expected, figure.tolerance):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise UserError(f"{where}: {figure.metric} has {value!r} for a number")
    allowed = METHODS_WITHOUT_WEIGHTS if row.zoo is None and row.run is None else None
    if allowed and figure.method not in allowed:
        raise UserError(f"{where}: a row without zoo and run is of the cloudy images alone, not of {figure.method!r}")
