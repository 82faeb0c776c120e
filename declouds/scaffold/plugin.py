"""Writes a plugin: a package with one part, its test, an example of use, and the entry point that makes it known."""

import os
import shutil
import uuid
from importlib.resources import files
from pathlib import Path
from string import Template

from declouds import __version__
from declouds.errors import UserError
from declouds.scaffold.kinds import KINDS, in_words
from declouds.scaffold.names import check_class_name, check_package_name, class_of

PROJECT = ("pyproject.toml", "README.md", ".gitignore")


def write_plugin(kind: str, name: str, out: Path) -> Path:
    """Write the package ``name`` with a part of this ``kind`` into a new folder of ``out``, and return that folder.

    The folder appears when it is complete.

    Raises:
        UserError: the name cannot be used, the folder exists, or it cannot be written.
    """
    check_package_name(name)
    target = out / name
    if target.exists() or target.is_symlink():
        raise UserError(f"{target} exists already: choose another name, or --out another folder")
    if not out.is_dir():
        raise UserError(f"{target}: the folder {out} does not exist: create it first")
    check_class_name(kind, name, _template(f"{kind}/part.py"))
    _write(target, plugin_files(kind, name))
    return target


def plugin_files(kind: str, name: str) -> dict[str, str]:
    """Return the text of every file of the plugin, by its path in the folder."""
    own = KINDS[kind]
    use = _use(kind, name)
    words = dict(
        name=name,
        Class=class_of(name),
        distribution=name.replace("_", "-"),
        kind=kind,
        kind_in_words=in_words(kind),
        call=own.call,
        version=__version__,
        use=use,
        command=use_command(kind, name),
    )
    words |= {slot: Template(text).substitute(words) for slot, text in own.slots.items()}
    templates = {path: path for path in PROJECT} | {
        # In src, and known by its path: started in the folder above, Python would take the folder for the package.
        f"src/{name}/__init__.py": "package.py",
        f"src/{name}/{name}.py": f"{kind}/part.py",
        f"tests/test_{name}.py": f"{kind}/test.py",
        use: own.use,
    }
    return {path: Template(_template(template)).substitute(words) for path, template in templates.items()}


def use_command(kind: str, name: str) -> str:
    """Return the command that shows the part at work, in the plugin's folder."""
    use = _use(kind, name)
    return f"{'declouds train' if use.startswith('configs/') else 'python'} {use}"


def _use(kind: str, name: str) -> str:
    template = KINDS[kind].use
    return f"configs/{name}.py" if template.startswith("configs/") else template


def _template(path: str) -> str:
    return files("declouds.scaffold").joinpath("templates", f"{path.removeprefix('.')}.template").read_text("utf-8")


def _write(target: Path, texts: dict[str, str]) -> None:
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        for path, text in texts.items():
            file = temporary / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8", newline="\n")
        os.rename(temporary, target)
    except OSError as error:
        raise UserError(
            f"{target} cannot be written: {error.strerror}: fix it, or give --out another folder"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
