"""Read, override and check config files."""

import ast
import importlib
from pathlib import Path
from typing import Any

from mmengine.config import Config

from declouds.errors import UserError, did_you_mean
from declouds.registry import load_plugins
from declouds.training.config_keys import KEYS, KEYS_OF_A_PART, REQUIRED


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
    for name in config:
        if name not in known and not name.startswith("_"):
            raise UserError(
                f"{path}: unknown config key {name!r}: {did_you_mean(name, known)}known: {', '.join(known)}"
            )
    for name, key in KEYS.items():
        value = config.get(name)
        if name in config and key.kinds and not _is_one_of(value, key.kinds):
            raise UserError(f"{path}: {name} must be {key.takes}, got {value!r}")
    seed = config.get("seed", 0)
    if not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise UserError(f"{path}: seed must be {KEYS['seed'].takes}, got {seed!r}")


def _is_one_of(value: Any, kinds: tuple[type, ...]) -> bool:
    """Return whether a value is of these types; True and False are no integers here."""
    return isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))


def known_keys(config: Any) -> list[str]:
    """Return the valid keys of a config: the general ones, and those of its model's parts."""
    from declouds.registry import MODELS

    model = MODELS.get(str(config["model"].get("type")))  # an unknown model is reported when it is built
    parts = [*config["model"]] if model is None else model.parts
    return [*KEYS, *(key.replace("PART", part) for part in parts for key in KEYS_OF_A_PART)]


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
