"""The pages of the documentation site that are made from the code: commands, config keys, parts, API."""

import argparse
import functools
import html
import inspect
import json
import re
from collections.abc import Iterator
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from griffe import Docstring, DocstringSectionKind

import declouds.registry
from declouds.cli import build_parser
from declouds.experiments.sweep_file import KINDS as SWEEP_KEYS
from declouds.registry import MODELS, REGISTRIES, PartRegistry
from declouds.scaffold.kinds import KINDS, in_words
from declouds.scaffold.names import class_of
from declouds.scaffold.plugin import plugin_files
from declouds.training.config_keys import KEYS, KEYS_OF_A_PART, REQUIRED, Key
from declouds.training.stage import Stage

ROOT = Path(__file__).resolve().parents[1]

# Page of the API -> what it says first, and the objects in their order.
API = {
    "Python interface": (
        "Scenes and images are cleared by two functions. What `remove_clouds` takes beside its own arguments are the "
        "fields of `SceneOptions`.",
        (
            "declouds.scenes.api.remove_clouds",
            "declouds.weights.file.load_model",
            "declouds.scenes.options.SceneOptions",
            "declouds.scenes.xarray_accessor",
            "declouds.errors.UserError",
        ),
    ),
    "Models and processes": (
        "What a model, a process and a sampler of your own derive from.",
        (
            "declouds.models.cloud_remover.CloudRemover",
            "declouds.models.build_model",
            "declouds.scenes.sampling.passes",
            "declouds.noise_schedules.process.Process",
            "declouds.noise_schedules.bridge.Bridge",
            "declouds.samplers.stepwise.StepwiseSampler",
            "declouds.sources.Source",
            "declouds.value_range.ValueRange",
        ),
    ),
    "Registries": ("How a name in a config becomes an object, and how plugins add to that.", ("declouds.registry",)),
    "Testing": ("The contracts of parts and models, as checks for tests of your own.", ("declouds.testing",)),
}


def generated_pages() -> dict[str, str]:
    """Return the Markdown of every page that is made from the code, by its file name."""
    pages = {"commands.md": commands_page(), "config_keys.md": config_page()}
    pages |= {f"part_{registry.name}.md": part_page(registry) for registry in REGISTRIES}
    pages |= {f"api_{title.split()[0].lower()}.md": api_page(title) for title in API}
    notebooks = (ROOT / "docs" / "notebooks").glob("*.ipynb")
    return pages | {f"notebooks/{path.stem}.md": notebook_page(path) for path in sorted(notebooks)}


def table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]] | list[tuple[str, ...]]) -> str:
    """Return a table of Markdown; line breaks and bars of the cells are taken care of."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(_cell(text) for text in line)} |" for line in lines) + "\n"


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip().replace("|", "\\|")


# Commands


def commands_page() -> str:
    """Return the help of every command and sub-command."""
    text = "# Commands\n\nEvery command prints this help with `--help`.\n\n"
    return text + "".join(_command(parser, level) for parser, level in _parsers(build_parser(), 2))


def _parsers(parser: argparse.ArgumentParser, level: int) -> Iterator[tuple[argparse.ArgumentParser, int]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                yield child, level
                yield from _parsers(child, level + 1)


def _command(parser: argparse.ArgumentParser, level: int) -> str:
    parser.formatter_class = functools.partial(argparse.HelpFormatter, width=88)  # whatever the terminal
    about = html.escape((parser.description or "").strip(), quote=False)
    usage = parser.format_usage().removeprefix("usage: ").strip()
    text = f"{'#' * level} {parser.prog}\n\n{about[:1].upper()}{about[1:]}.\n\n```text\n{usage}\n```\n\n"
    rows = [row for action in parser._actions if (row := _argument(parser, action))]
    return text + (table(("argument", ""), rows) + "\n" if rows else "")


def _argument(parser: argparse.ArgumentParser, action: argparse.Action) -> tuple[str, str] | None:
    if isinstance(action, argparse._HelpAction | argparse._SubParsersAction) or action.help == argparse.SUPPRESS:
        return None
    formatter = parser._get_formatter()
    name = formatter._format_action_invocation(action)
    return f"`{name}`", html.escape(formatter._expand_help(action) if action.help else "", quote=False)


# Config keys


def config_page() -> str:
    """Return the keys of a config, of a stage and of a sweep file."""
    parts = ", ".join(f"[{in_words(registry.name)}](part_{registry.name}.md)" for registry in REGISTRIES)
    entries = _stage_entries()
    return "\n".join(
        (
            "# Config keys\n",
            "A config is a Python file; these are the names that it may set. A name that starts with `_` is private to "
            "the file, and any other is refused, with the nearest that exists. How they work together is in "
            "[training](training.md).\n",
            table(("key", "meaning", "takes", "default"), _key_rows(KEYS)),
            "With PART for the name of a part of the model, such as `reference_weights`:\n",
            table(("key", "meaning", "takes", "default"), _key_rows(KEYS_OF_A_PART)),
            f"The arguments behind `type` are those of the class, on the page of its kind: {parts}.\n",
            "## Keys of a stage\n",
            table(("key", "meaning", "default"), _stage_rows()),
            "Stages of a reference may also have\n",
            table(("key", "meaning"), [(f"`{name}`", meaning) for name, meaning in entries.items()]),
            "## Keys of a sweep\n",
            "A [sweep](sweeps.md) is a file of its own.\n",
            table(("key", "takes"), [(f"`{name}`", words) for name, _, words in SWEEP_KEYS]),
        )
    )


def _key_rows(keys: dict[str, Key]) -> list[tuple[str, ...]]:
    return [
        (f"`{name}`", key.meaning, key.takes, "needed" if name in REQUIRED else key.default)
        for name, key in keys.items()
    ]


def _stage_rows() -> list[tuple[str, ...]]:
    meanings = arguments_of(Stage)
    return [
        (f"`{entry.name}`", meanings[entry.name], "needed" if entry.default is MISSING else f"`{entry.default!r}`")
        for entry in fields(Stage)
        if entry.name != "options"
    ]


def _stage_entries() -> dict[str, str]:
    """Return the entries that models add to a stage, with what the models' arguments of these names mean."""
    models = own_parts(MODELS).values()
    meanings = {name: text for model in models for name, text in arguments_of(model).items()}
    return {entry: meanings[entry] for model in models for entry in model.stage_entries}


def arguments_of(part: Any) -> dict[str, str]:
    """Return the arguments that a class documents, with their meaning."""
    sections = Docstring(inspect.getdoc(part) or "", parser="google").parse(warnings=False)
    found = (section.value for section in sections if section.kind is DocstringSectionKind.parameters)
    return {argument.name: argument.description for arguments in found for argument in arguments}


# Parts


def own_parts(registry: PartRegistry) -> dict[str, Any]:
    """Return the registered parts of this package, by name; those of installed plugins are left out."""
    return {name: part for name, part in sorted(registry.parts().items()) if part.__module__.startswith("declouds.")}


def part_page(registry: PartRegistry) -> str:
    """Return the contract of a kind of part, the smallest one that works, and every one that is registered."""
    kind, name, words = registry.name, f"my_{registry.name}", in_words(registry.name)
    parts = own_parts(registry)
    folder = next(iter(parts.values())).__module__.rpartition(".")[0].replace(".", "/")
    plugin = plugin_files(kind, name)[f"src/{name}/{name}.py"]
    text = [
        f"# {words.capitalize()}s\n",
        f"Kind `{kind}`, folder `{folder}`, registry `{_constant(registry)}`.\n",
        f"{_call(kind)}\n",
        "## Registered\n",
        *(_part(known, part) for known, part in parts.items()),
        "## One of your own\n",
        f"```bash\ndeclouds new {kind} {name}\npip install -e ./{name}\npytest {name}\n```\n",
        f"The first line writes a package with this {words}, its test and an example of use: "
        "[add a part](add_a_part.md).\n",
        f"```python\n{plugin}```\n",
        "## Its contract\n",
        f"`{class_of(name)}` and every {words} above pass this check:\n",
        f"::: declouds.testing.check_{kind}\n    options:\n      heading_level: 3\n      show_source: true\n",
    ]
    return "\n".join(text)


def _constant(registry: PartRegistry) -> str:
    return next(name for name, value in vars(declouds.registry).items() if value is registry)


def _call(kind: str) -> str:
    """Return how a part is called and what else it has to know, as the page on adding parts says it."""
    for line in (ROOT / "docs" / "add_a_part.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if len(cells) == 3 and cells[0] == in_words(kind):
            return f"Call: {cells[1]}\n\n{cells[2][:1].upper()}{cells[2][1:]}."
    more = "[A model with parts of its own](add_a_part.md#a-model-with-parts-of-its-own)"
    return f"{in_words(kind).capitalize()}: {KINDS[kind].call}. {more} has the rest."


def _part(name: str, part: Any) -> str:
    options = "\n".join(f"      {line}" for line in ("heading_level: 3", f"heading: {name}", "members: false"))
    return f"::: {part.__module__}.{part.__qualname__}\n    options:\n{options}\n"


# API and notebooks


def api_page(title: str) -> str:
    """Return a page of the API, filled in by mkdocstrings."""
    about, names = API[title]
    fields_alone = "    options:\n      members: false\n"
    return f"# {title}\n\n{about}\n\n" + "".join(
        f"::: {name}\n{fields_alone if name.endswith('SceneOptions') else ''}\n" for name in names
    )


def notebook_page(path: Path) -> str:
    """Return a notebook as a page: its text and its code, and the way to the notebook itself."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    texts = ["".join(cell["source"]) for cell in cells]
    parts = [
        text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```"
        for cell, text in zip(cells, texts, strict=True)
    ]
    return "\n\n".join([*parts, f"This page as a [notebook]({path.name}).\n"])
