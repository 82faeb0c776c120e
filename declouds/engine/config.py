"""Config files: read, overridden and checked."""

import importlib
from pathlib import Path
from typing import Any

from mmengine.config import Config, DictAction

from declouds.errors import UserError
from declouds.registry import load_plugins

REQUIRED = ("model", "datamodule", "stages")


def load_config(path: Path, options: list[str] | None = None) -> Config:
    """Read a config, load the plugins, import its ``custom_imports`` and apply ``KEY=VALUE`` overrides.

    Raises:
        UserError: the file is missing or broken, an override is malformed, or an import of it fails.
    """
    if not Path(path).is_file():
        raise UserError(f"{path} does not exist: give the path of a config file, for example configs/de_rice1.py")
    try:
        config = Config.fromfile(path, import_custom_modules=False)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{path} cannot be read as a config: {type(error).__name__}: {error}") from error
    config.merge_from_dict(_parse_options(options or []))
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
        parsed[key] = DictAction._parse_iterable(value)
    return parsed


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
