"""Which names a plugin can have."""

import builtins
import importlib.metadata
import importlib.util
import keyword
import re
import sys

from declouds.errors import UserError
from declouds.scaffold.kinds import KINDS

LONGEST = 32  # letters; the lines of the templates have room for as many
FILES = ("tests", "configs", "examples", "find_clouds")


def class_of(name: str) -> str:
    """Return the name of a class for that of a package: ``my_fusion`` -> ``MyFusion``."""
    return "".join(word.capitalize() for word in name.split("_"))


def check_package_name(name: str) -> None:
    """Check that a package can be called ``name`` without hiding another.

    Raises:
        UserError: says what is wrong with the name.
    """
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name):
        words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+", name)
        near = "_".join(words).lower()
        example = near if near[:1].isalpha() else "my_part"
        raise UserError(
            f"{name!r} cannot be the name of a package: take words of lower-case letters and digits with _ between "
            f"them, for example {example}"
        )
    if len(name) > LONGEST:
        raise UserError(f"{name} has {len(name)} letters: take a name of {LONGEST} or fewer")
    if taken := _taken(name):
        raise UserError(f"{name} is {taken}: choose another name, for example my_{name}")


def _taken(name: str) -> str | None:
    """Say what else has this name, if anything."""
    if keyword.iskeyword(name) or keyword.issoftkeyword(name):
        return "a word of the Python language"
    if name in sys.stdlib_module_names:
        return "a module of Python itself"
    if name in ("declouds", *KINDS) or importlib.util.find_spec(f"declouds.{name}"):
        return "a name of declouds itself"
    if name in FILES or name.startswith("test_") or name.endswith("_test"):
        return "what tests, or other files of the package, are called"
    found = importlib.util.find_spec(name)
    if found is not None and found.origin is not None:
        return f"a module that is there already ({found.origin})"
    try:
        importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return None
    return "the name of an installed package"


def check_class_name(kind: str, name: str, source: str) -> None:
    """Check that the class of ``name`` can be registered, and that its file, ``source``, uses its name for it alone.

    Raises:
        UserError: the name is taken.
    """
    wanted = class_of(name)
    if hasattr(builtins, wanted) or wanted in re.findall(r"\w+", source):
        raise UserError(f"{name} gives a class {wanted}, a name that its own file uses otherwise: choose another name")
    from declouds.registry import REGISTRIES, load_plugins

    load_plugins()
    (registry,) = (registry for registry in REGISTRIES if registry.name == kind)
    for taken, part in registry.parts().items():
        if taken.lower() == wanted.lower():
            raise UserError(
                f"{name} gives a class {wanted}, and a {kind} called {taken} is there already ({part.__module__}): "
                "choose another name"
            )
