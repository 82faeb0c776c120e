"""Registries, one per kind of part, and the plugins that add to them.

Naming rule: config key singular = folder plural = registry PLURAL, so ``fusion=dict(type='X')`` is a class ``X`` in
``declouds/fusions/x.py``, registered in ``FUSIONS``. The folder is imported when its registry is first used.
"""

import functools
import importlib.metadata
import inspect
import logging
import pkgutil
from pathlib import Path
from typing import Any

from mmengine.registry import Registry

from declouds.errors import UserError, did_you_mean, nearest

PLUGIN_GROUP = "declouds.plugins"


def _modules_in(folder: str) -> list[str]:
    """Return the modules of a folder of parts, which register themselves on import."""
    path = Path(__file__).parent / folder
    return [f"declouds.{folder}.{module.name}" for module in pkgutil.iter_modules([str(path)])]


class PartRegistry(Registry):
    """An MMEngine registry whose error for an unknown name lists the known ones, closest first."""

    def __init__(self, name: str, folder: str) -> None:
        # Scope 'mmengine' and no parent: with a scope of our own MMEngine warns at every build.
        super().__init__(name, build_func=_build, scope="mmengine", locations=_modules_in(folder))

    def names(self) -> list[str]:
        """Return every registered name, sorted."""
        return sorted(self.parts())

    def parts(self) -> dict[str, Any]:
        """Return name -> class of all registered parts."""
        self.import_from_location()
        return dict(self.module_dict)

    def find(self, name: Any) -> Any:
        """Return the class called ``name`` (a class is returned unchanged).

        Raises:
            UserError: unknown name; the message lists the known ones, closest spelling first, and the plugins that
                failed to load.
        """
        if not isinstance(name, str):
            return name
        part = self.get(name)
        if part is None:
            load_plugins()  # not loaded yet when the registry is used from Python
            part = self.get(name)
        if part is None:
            known = self.names()
            near = nearest(name, known, len(known))
            ordered = near + [part_name for part_name in known if part_name not in near]
            hint = did_you_mean(name, known)
            listed = ", ".join(ordered) or "none"
            more = "" if near else ", and the parts of plugins once these are installed"
            raise UserError(f"unknown {self.name} {name!r}: {hint}known: {listed}{more}{failed_plugins()}")
        return part

    def _register_module(self, module: Any, module_name: str | list[str] | None = None, force: bool = False) -> None:
        """Register a part under a name that is not taken yet."""
        origin = str(module.__module__)
        if not origin.startswith("declouds."):
            self.import_from_location()  # built-in parts first, so that the external part is the one refused
        names = [module_name] if isinstance(module_name, str) else module_name or [module.__name__]
        for name in names:
            if name in self.module_dict and not force:
                raise UserError(
                    f"{self.name} {name} of {origin}: the name is already registered by "
                    f"{self.module_dict[name].__module__}: rename the class"
                )
        super()._register_module(module, module_name, force)


def _build(cfg: Any, registry: PartRegistry, **defaults: Any) -> Any:
    """Build ``cfg``, a ``dict(type=..., **arguments)``, with the ``defaults`` that the part accepts and cfg lacks."""
    if not isinstance(cfg, dict) or "type" not in cfg:
        raise UserError(
            f"a {registry.name} must be dict(type=..., ...) with type one of {', '.join(registry.names())}; got {cfg!r}"
        )
    arguments = dict(cfg)
    part = registry.find(arguments.pop("type"))
    taken = inspect.signature(part).parameters
    try:
        return part(**{key: value for key, value in defaults.items() if key in taken} | arguments)
    except TypeError as error:
        raise UserError(f"{registry.name} {part.__name__} cannot be built: {error}") from error


MODELS = PartRegistry("model", "models")
DENOISERS = PartRegistry("denoiser", "denoisers")
REFERENCES = PartRegistry("reference", "references")
FUSIONS = PartRegistry("fusion", "fusions")
NOISE_SCHEDULES = PartRegistry("noise_schedule", "noise_schedules")
SAMPLERS = PartRegistry("sampler", "samplers")
DIFFUSION_LOSSES = PartRegistry("diffusion_loss", "diffusion_losses")
LOSSES = PartRegistry("loss", "losses")
DISCRIMINATORS = PartRegistry("discriminator", "discriminators")
DATAMODULES = PartRegistry("datamodule", "datamodules")
CLOUD_DETECTORS = PartRegistry("cloud_detector", "cloud_detectors")

PART_REGISTRIES = (
    DENOISERS,
    REFERENCES,
    FUSIONS,
    NOISE_SCHEDULES,
    SAMPLERS,
    DIFFUSION_LOSSES,
    LOSSES,
    DISCRIMINATORS,
    DATAMODULES,
    CLOUD_DETECTORS,
)
REGISTRIES = (MODELS, *PART_REGISTRIES)


def describe(part: Any) -> str:
    """Return the first line of a part's docstring."""
    doc = (part.__doc__ or "").strip()
    return doc.splitlines()[0] if doc else "(no description)"


@functools.cache
def load_plugins() -> dict[str, Exception | None]:
    """Load every installed package of the entry-point group ``declouds.plugins``, once per process.

    An entry point names a module, imported for its registrations, or a callable, called without arguments. A plugin
    that fails is skipped with a warning that shows its error; `failed_plugins` repeats it in errors about unknown
    parts.

    Returns:
        plugin name -> None, or the exception it raised.
    """
    outcome: dict[str, Exception | None] = {}
    for entry_point in importlib.metadata.entry_points(group=PLUGIN_GROUP):
        try:
            plugin = entry_point.load()
            if callable(plugin):
                plugin()
            outcome[entry_point.name] = None
        except Exception as error:
            logging.getLogger("declouds").warning("%s is skipped: %s", _origin(entry_point), _cause(error))
            outcome[entry_point.name] = error
    return outcome


def failed_plugins() -> str:
    """Return the end of an error about an unknown part: which plugins failed, why, and the fix.

    Empty if none failed.
    """
    failures = ""
    for entry_point in importlib.metadata.entry_points(group=PLUGIN_GROUP):
        error = load_plugins().get(entry_point.name)
        if error is not None:
            failures += f"; {_origin(entry_point)} failed and may hold it: {_cause(error)}: {_fix(entry_point, error)}"
    return failures


def _origin(entry_point: importlib.metadata.EntryPoint) -> str:
    package = f", package {entry_point.dist.name} {entry_point.dist.version}" if entry_point.dist else ""
    return f"plugin {entry_point.name} ({entry_point.value}{package})"


def _cause(error: Exception) -> str:
    message = " ".join(str(error).split())  # one line
    return message if isinstance(error, UserError) else f"{type(error).__name__}: {message}"


def _fix(entry_point: importlib.metadata.EntryPoint, error: Exception) -> str:
    if not isinstance(error, ModuleNotFoundError) or error.name is None:
        return "fix or update that package"
    if error.name.split(".")[0] == entry_point.module.split(".")[0]:
        return "reinstall that package"
    return f"install {error.name.split('.')[0]} in the environment of declouds"
