"""Config files: read, overridden and checked."""

import ast
import importlib
from pathlib import Path
from typing import Any

from mmengine.config import Config

from declouds.errors import UserError, did_you_mean
from declouds.registry import load_plugins

REQUIRED = ("model", "datamodule", "stages")
RUNTIME = ("seed", "num_workers", "precision", "ema", "log_interval", "checkpoint_interval", "val")
KNOWN = (
    *REQUIRED,
    "load_from",
    "test_datamodule",
    *RUNTIME,
    "custom_imports",
    "custom_hooks",
)


VALUES: dict[str, tuple[tuple[type, ...], str]] = {
    "model": ((dict,), "dict(type=..., ...)"),
    "datamodule": ((dict,), "dict(type=..., ...)"),
    "test_datamodule": ((dict,), "dict(type=..., ...)"),
    "num_workers": ((int,), "a whole number"),
    "precision": ((str,), "'fp32', 'bf16' or 'auto'"),
    "ema": ((dict, type(None)), "dict(decay=NUMBER), or None to train without"),
    "log_interval": ((int,), "a whole number of iterations"),
    "checkpoint_interval": ((int,), "a whole number of iterations"),
    "val": ((dict,), "dict(images=..., panels=..., tile=..., overlap=...)"),
}


def read_config(path: Path) -> Config:
    """Read a config file as it is; of MMEngine's lazy kind (``with read_base()``) classes become their names.

    Raises:
        UserError: the file is not a config.
    """
    try:
        # Told by `read_base` alone: MMEngine would take a mere `import os` for the lazy kind.
        if "read_base" in path.read_text(encoding="utf-8"):
            lazy = Config.fromfile(path, import_custom_modules=False, lazy_import=True)
            return Config(_with_names(lazy.to_dict()), filename=str(path))
        return Config.fromfile(path, import_custom_modules=False, lazy_import=False)
    except UserError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path} cannot be read as a config: {type(error).__name__}: {reason}") from error


def _with_names(value: Any) -> Any:
    """Return the values of a lazy config, in which a type is ``module.Class``, with the names of registered classes."""
    if isinstance(value, list | tuple):
        return type(value)(_with_names(item) for item in value)
    if not isinstance(value, dict):
        return value
    module, _, name = str(value.get("type", "")).rpartition(".")
    if module:
        importlib.import_module(module)  # registers it
        value = {**value, "type": name}
    return {key: _with_names(item) for key, item in value.items()}


def load_config(path: Path, options: list[str] | None = None) -> Config:
    """Read a config, load the plugins, import its ``custom_imports`` and apply ``KEY=VALUE`` overrides.

    Raises:
        UserError: the file is missing or broken, an override is malformed, or an import of it fails.
    """
    if not Path(path).is_file():
        raise UserError(f"{path} does not exist: give the path of a config file, for example configs/de_rice1.py")
    config = read_config(path)
    try:
        config.merge_from_dict(_parse_options(options or []))
    except (AssertionError, AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"--cfg-options do not fit {path}: {type(error).__name__}: {error}") from error
    load_plugins()
    _import_custom_modules(config)
    missing = [key for key in REQUIRED if key not in config]
    if missing:
        raise UserError(f"{path} lacks {', '.join(missing)}: see configs/ for complete ones")
    _check_keys(path, config)
    return config


def _parse_options(options: list[str]) -> dict[str, Any]:
    parsed = {}
    for option in options:
        key, separator, value = option.partition("=")
        if not separator:
            raise UserError(f"--cfg-options takes KEY=VALUE, got {option!r}")
        try:
            parsed[key] = ast.literal_eval({"true": "True", "false": "False", "none": "None"}.get(value.lower(), value))
        except (SyntaxError, ValueError):
            parsed[key] = value  # a word or a path, spaces and commas included
    return parsed


def _check_keys(path: Path, config: Config) -> None:
    """Refuse a misspelt entry, which would otherwise be ignored without a word; names with a `_` are the file's own."""
    known = known_keys(config)
    for key in config:
        if key not in known and not key.startswith("_"):
            raise UserError(f"{path}: unknown config key {key!r}: {did_you_mean(key, known)}known: {', '.join(known)}")
    for key, (kinds, takes) in VALUES.items():
        value = config.get(key, kinds[0]())
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise UserError(f"{path}: {key} is {takes}, not {value!r}")
    seed = config.get("seed", 0)
    if not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise UserError(f"{path}: seed is a whole number from 0 to 2**32 - 1, not {seed!r}")


def known_keys(config: Any) -> list[str]:
    """Return the keys that a config may have: those of every config, and those of the parts of its model."""
    from mmengine.registry import MODELS

    import declouds.models  # noqa: F401  (registers them)

    model = MODELS.get(str(config["model"].get("type")))  # one that is unknown is an error when it is built
    parts = [*config["model"]] if model is None else model.parts
    return [*KNOWN, *(f"{part}_{what}" for part in parts for what in ("weights", "stages"))]


def _import_custom_modules(config: Config) -> None:
    """Import what ``custom_imports`` names; MMEngine's own function hides why an import fails."""
    wanted = config.get("custom_imports", {})
    for module in wanted.get("imports", []):
        try:
            importlib.import_module(module)
        except Exception as error:
            if not wanted.get("allow_failed_imports", False):
                raise UserError(
                    f"custom_imports: {module} cannot be imported: {type(error).__name__}: {error}"
                ) from error
