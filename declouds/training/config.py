"""Read, override and check config files."""

import ast
import importlib
from pathlib import Path
from typing import Any

from mmengine.config import Config

from declouds.errors import UserError, did_you_mean
from declouds.registry import load_plugins

REQUIRED = ("model", "datamodule", "stages")
RUNTIME = ("seed", "num_workers", "precision", "compile", "ema", "log_interval", "checkpoint_interval", "val")
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
    "num_workers": ((int,), "an integer"),
    "precision": ((str,), "'fp32', 'bf16' or 'auto'"),
    "compile": ((bool,), "True or False"),
    "ema": ((dict, type(None)), "dict(decay=NUMBER), or None to disable it"),
    "log_interval": ((int,), "an integer number of iterations"),
    "checkpoint_interval": ((int,), "an integer number of iterations"),
    "val": ((dict,), "dict(images=..., panels=..., tile=..., overlap=...)"),
}


def read_config(path: Path) -> Config:
    """Read a config file; in MMEngine's lazy configs (``with read_base()``) classes become their names.

    Raises:
        UserError: the file is not a valid config.
    """
    try:
        # Detected by `read_base` only: MMEngine would take any `import os` for a lazy config.
        if "read_base" in path.read_text(encoding="utf-8"):
            lazy = Config.fromfile(path, import_custom_modules=False, lazy_import=True)
            return Config(_with_names(lazy.to_dict()), filename=str(path))
        return Config.fromfile(path, import_custom_modules=False, lazy_import=False)
    except UserError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path} is not a readable config: {type(error).__name__}: {reason}") from error


def _with_names(value: Any) -> Any:
    """Replace each type ``module.Class`` of a lazy config by the name of the registered class."""
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
        UserError: the file is missing or invalid, an override is malformed, or a custom import fails.
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
        raise UserError(f"{path} lacks {', '.join(missing)}: see configs/ for complete configs")
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
            parsed[key] = value  # a plain string, for example a path
    return parsed


def _check_keys(path: Path, config: Config) -> None:
    """Refuse unknown keys, which would be silently ignored; names with a leading `_` are private to the file."""
    known = known_keys(config)
    for key in config:
        if key not in known and not key.startswith("_"):
            raise UserError(f"{path}: unknown config key {key!r}: {did_you_mean(key, known)}known: {', '.join(known)}")
    for key, (kinds, takes) in VALUES.items():
        value = config.get(key, kinds[0]())
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise UserError(f"{path}: {key} must be {takes}, got {value!r}")
    seed = config.get("seed", 0)
    if not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise UserError(f"{path}: seed must be an integer from 0 to 2**32 - 1, got {seed!r}")


def known_keys(config: Any) -> list[str]:
    """Return the valid keys of a config: the general ones, and those of its model's parts."""
    from declouds.registry import MODELS

    model = MODELS.get(str(config["model"].get("type")))  # an unknown model is reported when it is built
    parts = [*config["model"]] if model is None else model.parts
    return [*KNOWN, *(f"{part}_{what}" for part in parts for what in ("weights", "stages"))]


def _import_custom_modules(config: Config) -> None:
    """Import the modules of ``custom_imports``; MMEngine's function would hide why an import fails."""
    wanted = config.get("custom_imports", {})
    for module in wanted.get("imports", []):
        try:
            importlib.import_module(module)
        except Exception as error:
            if not wanted.get("allow_failed_imports", False):
                raise UserError(
                    f"custom_imports: {module} cannot be imported: {type(error).__name__}: {error}"
                ) from error
