"""Config files: read, overridden and checked."""

import ast
import difflib
import importlib
from pathlib import Path
from typing import Any

from mmengine.config import Config

from declouds.errors import UserError
from declouds.registry import load_plugins

REQUIRED = ("model", "datamodule", "stages")
RUNTIME = ("seed", "num_workers", "amp", "ema", "log_interval", "checkpoint_interval", "val")
KNOWN = (
    *REQUIRED,
    "reference_weights",
    "denoiser_weights",
    "reference_stages",
    "test_datamodule",
    *RUNTIME,
    "custom_imports",
    "custom_hooks",
)


def read_config(path: Path) -> Config:
    """Read a config file as it is.

    Raises:
        UserError: the file is no config.
    """
    try:
        # Not lazy: with the lazy kind a mere `import os` changes how the whole file is read.
        return Config.fromfile(path, import_custom_modules=False, lazy_import=False)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{path} cannot be read as a config: {type(error).__name__}: {error}") from error


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
    _check_keys(path, config)
    load_plugins()
    _import_custom_modules(config)
    missing = [key for key in REQUIRED if key not in config]
    if missing:
        raise UserError(f"{path} lacks {', '.join(missing)}: see configs/ for complete ones")
    return config


def _parse_options(options: list[str]) -> dict[str, Any]:
    parsed = {}
    for option in options:
        key, separator, value = option.partition("=")
        if not separator:
            raise UserError(f"--cfg-options takes KEY=VALUE, got {option!r}")
        try:
            parsed[key] = ast.literal_eval(value)
        except (SyntaxError, ValueError):
            parsed[key] = value  # a word or a path, spaces and commas included
    return parsed


def _check_keys(path: Path, config: Config) -> None:
    """Refuse a misspelt entry, which would otherwise be ignored without a word; names with a `_` are the file's own."""
    for key in config:
        if key not in KNOWN and not key.startswith("_"):
            near = difflib.get_close_matches(key, KNOWN, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise UserError(f"{path}: nothing reads the entry {key!r}: {hint}known: {', '.join(KNOWN)}")
    seed = config.get("seed", 0)
    if not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise UserError(f"{path}: seed is a whole number from 0 to 2**32 - 1, not {seed!r}")


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
