"""Sweep files: a base config, axes, and the cells that they span."""

import copy
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from declouds.errors import UserError
from declouds.evaluation.protocols import PROTOCOLS
from declouds.experiments.axes import Axis, read_axis, set_entry
from declouds.experiments.cell import Cell
from declouds.models import model_class
from declouds.training.config import load_config, read_config
from declouds.training.settings import plain

ENTRIES = ("base", "overrides", "axes", "paired", "exclude", "baseline", "variants", "metrics", "about")

KINDS = (
    ("base", str, "the path of a config"),
    ("overrides", dict, "a dict, entry -> value"),
    ("axes", dict, "a dict, entry -> values"),
    ("paired", list, "a list of groups of axes, [('fusion', 'eta')]"),
    ("exclude", list, "a list of combinations, [dict(fusion='half', eta='0.3')]"),
    ("baseline", str, "the name of a cell"),
    ("variants", list, "a list of names"),
    ("metrics", list, "a list of metrics, ['official.psnr']"),
    ("about", str, "a sentence"),
)

Group = tuple[Axis, ...]  # axes that take their values together


@dataclass(frozen=True)
class SweepFile:
    """What a sweep file says.

    Args:
        path: the file.
        base: the base config with its overrides, plain dicts and lists.
        groups: the axes; those of one group go together.
        exclude: combinations that are left out, axis -> names.
        baseline: the cell that the others are compared to, or None for the first.
        variants: of ``cloudy``, ``prior`` and ``diffusion``, what is measured of each cell as well.
        metrics: of the table; empty for the usual ones.
        about: one sentence on what is asked.
    """

    path: Path
    base: dict[str, Any]
    groups: tuple[Group, ...]
    exclude: tuple[dict[str, list[str]], ...] = ()
    baseline: str | None = None
    variants: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    about: str = ""

    @property
    def name(self) -> str:
        """The name of the sweep."""
        return self.path.stem

    def cells(
        self, folder: Path, only: Mapping[str, Sequence[str]] | None = None, seeds: Sequence[int] = ()
    ) -> list[Cell]:
        """Return the cells, the last axis running fastest.

        Args:
            folder: of the sweep.
            only: axis -> names of values; the others are left out.
            seeds: every cell is run with each of them; one that is the base's own adds nothing to a cell's name.

        Raises:
            UserError: nothing is left, or ``only`` names what is not there.
        """
        self._check_choice("--only", only or {})
        groups, own = list(self.groups), self.base.get("seed", 0)
        if seeds:
            if any(axis.name == "seed" for axis in itertools.chain(*groups)):
                raise UserError(f"{self.path}: seed is an axis already: choose seeds by --only seed=0,1")
            groups.append((Axis("seed", "seed", {str(seed): seed for seed in seeds}),))
        cells = []
        for chosen in itertools.product(*(_positions(group) for group in groups)):
            labels = {axis.name: label for group in chosen for axis, label in group}
            lead = {group[0][0].name: group[0][1] for group in chosen}
            if seeds and labels["seed"] == str(own):
                del lead["seed"]
            if any(labels[axis] not in names for axis, names in (only or {}).items()):
                continue
            if any(all(labels[axis] in names for axis, names in rule.items()) for rule in self.exclude):
                continue
            config = copy.deepcopy(self.base)
            for axis, label in itertools.chain(*chosen):
                set_entry(config, axis.key, copy.deepcopy(axis.values[label]))
            name = next(iter(lead.values())) if len(lead) == 1 else ",".join(f"{k}={v}" for k, v in lead.items())
            cells.append(
                Cell(name, lead | ({"seed": labels["seed"]} if seeds else {}), config, folder / "cells" / name)
            )
        if not cells:
            raise UserError(f"{self.path}: no cell is left: loosen exclude or --only")
        return cells

    def _check_choice(self, what: str, choice: Mapping[str, Sequence[str]]) -> None:
        axes = {axis.name: axis for axis in itertools.chain(*self.groups)}
        for name, labels in choice.items():
            if name not in axes:
                raise UserError(f"{self.path}: {what} names the axis {name!r}, which is not there: {', '.join(axes)}")
            for label in labels:
                if label not in axes[name].values:
                    raise UserError(
                        f"{self.path}: {what}: axis {name} has no value {label!r}: {', '.join(axes[name].values)}"
                    )


def read_sweep(path: Path, options: Sequence[str] = ()) -> SweepFile:
    """Read and check a sweep file; ``options`` override entries of its base config, as ``KEY=VALUE``.

    Raises:
        UserError: the file, its base, an axis, a pairing or an exclusion cannot be used.
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist: give a sweep file, for example configs/ablations/fusions.py")
    read = read_config(path).to_dict()
    for key in read:
        if key not in ENTRIES and not key.startswith("_"):
            raise UserError(f"{path}: unknown key {key!r} of a sweep: known: {', '.join(ENTRIES)}")
    content = {key: _plain(path, key, value) for key, value in read.items() if key in ENTRIES}
    for key, kind, words in KINDS:
        if not isinstance(content.get(key, kind()), kind):
            raise UserError(f"{path}: {key} is {words}, not {content[key]!r}")
    if not isinstance(content.get("base"), str) or not isinstance(content.get("axes"), dict) or not content["axes"]:
        raise UserError(f"{path}: a sweep has `base = 'CONFIG.py'` and `axes = dict(fusion=[...], seed=[...])`")
    base = load_config(path.parent / content["base"], list(options))
    config = plain(base.to_dict())
    for key, value in content.get("overrides", {}).items():
        set_entry(config, read_axis(path, key, {"value": value}, config).key, value)
    paired = content.get("paired", [])
    # What is paired goes by the name of the first.
    unnamed = {name for names in paired if isinstance(names, list) for name in names[1:]}
    axes = {
        name: read_axis(path, name, _numbered(values) if name in unnamed else values, config)
        for name, values in content["axes"].items()
    }
    sweep = SweepFile(
        path,
        config,
        tuple(_groups(path, axes, paired)),
        tuple(_rule(path, rule) for rule in content.get("exclude", [])),
        content.get("baseline"),
        _variants(path, content.get("variants", []), config["model"]),
        _metrics(path, content.get("metrics", [])),
        content.get("about", ""),
    )
    for rule in sweep.exclude:
        sweep._check_choice("exclude", rule)
    _check_names(sweep)
    return sweep


def _variants(path: Path, names: Any, model: dict[str, Any]) -> tuple[str, ...]:
    known = ("cloudy", *model_class(model).variant_names)
    if not isinstance(names, list | tuple) or not set(names) <= set(known):
        raise UserError(f"{path}: variants is a list of some of {', '.join(known)}, not {names!r}")
    return tuple(names)


def _numbered(values: Any) -> Any:
    return {str(index): value for index, value in enumerate(values)} if isinstance(values, list) else values


def _groups(path: Path, axes: dict[str, Axis], paired: Sequence[Sequence[str]]) -> Iterator[Group]:
    """Yield the groups of axes, in the order of their first axes."""
    partners: dict[str, list[str]] = {}
    for names in paired:
        if not isinstance(names, list) or len(names) < 2:
            raise UserError(f"{path}: paired: a group is a list of two axes or more, not {names!r}")
        for name in names:
            if name not in axes:
                raise UserError(f"{path}: paired names the axis {name!r}, which is not there: {', '.join(axes)}")
            if any(name in others for others in partners.values()):
                raise UserError(f"{path}: axis {name} is paired twice: put all that go together into one list")
        for name in names[1:]:
            first, labels = list(axes[names[0]].values), list(axes[name].values)
            if labels not in (first, [str(index) for index in range(len(first))]):
                raise UserError(
                    f"{path}: axes {names[0]} and {name} are paired: they have as many values, or the same names in "
                    f"the same order, not {', '.join(first)} and {', '.join(labels)}"
                )
        partners[names[0]] = list(names)
    followers = {name for names in partners.values() for name in names[1:]}
    for name in axes:
        if name not in followers:
            yield tuple(axes[partner] for partner in partners.get(name, [name]))


def _positions(group: Group) -> list[list[tuple[Axis, str]]]:
    """Return the combinations of a group: the first values of all its axes, then the second ones, ..."""
    return [list(zip(group, labels, strict=True)) for labels in zip(*(axis.values for axis in group), strict=True)]


def _plain(path: Path, key: str, value: Any) -> Any:
    try:
        return plain(value)
    except TypeError as error:
        raise UserError(f"{path}: {key} holds what no config can ({error}): write plain numbers and words") from error


def _metrics(path: Path, names: list[Any]) -> tuple[str, ...]:
    for name in names:
        if str(name).split(".")[0] not in (*PROTOCOLS, "signature") or "." not in str(name):
            raise UserError(
                f"{path}: metrics: {name!r} is not a metric: write PROTOCOL.METRIC, for example official.psnr"
            )
    return tuple(names)


def _rule(path: Path, rule: Any) -> dict[str, list[str]]:
    if not isinstance(rule, dict):
        raise UserError(f"{path}: exclude: a combination is dict(axis='value', ...), not {rule!r}")
    return {
        axis: [str(name) for name in (names if isinstance(names, list) else [names])] for axis, names in rule.items()
    }


def _check_names(sweep: SweepFile) -> None:
    cells = sweep.cells(Path())
    names = [cell.name for cell in cells]
    configs = {cell.digest: cell.name for cell in reversed(cells)}
    for cell in cells:
        if configs[cell.digest] != cell.name:
            raise UserError(
                f"{sweep.path}: the cells {configs[cell.digest]} and {cell.name} are one config: axes that set one "
                "entry undo each other; pair or exclude them"
            )
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"{sweep.path}: two cells have the name {name}: name the values of the axes differently")
    if sweep.baseline is not None and sweep.baseline not in names:
        raise UserError(f"{sweep.path}: baseline={sweep.baseline!r} is not a cell: {', '.join(names)}")
