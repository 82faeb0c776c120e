"""declouds: remove clouds from optical satellite images.

The package root is light; ``load_model`` and ``remove_clouds`` import what they need when they are first used.
xarray's images get an accessor, ``image.declouds``: see `declouds.scenes.xarray_accessor`.
"""

import importlib
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from typing import Any

from declouds.errors import UserError

__version__ = "0.2.0"
__all__ = ["UserError", "__version__", "load_model", "remove_clouds"]


def __getattr__(name: str) -> Any:
    """Import the two functions of the Python interface on first use (PEP 562)."""
    if name == "load_model":
        from declouds.weights.file import load_model

        return load_model
    if name == "remove_clouds":
        from declouds.scenes.api import remove_clouds

        return remove_clouds
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class _AfterXarray(MetaPathFinder):
    """Adds the accessor when xarray is imported: importing it here would cost everyone a second."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name != "xarray":
            return None
        others = [finder for finder in sys.meta_path if finder is not self]
        spec = next(filter(None, (finder.find_spec(name, path, target) for finder in others)), None)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_add(module: Any) -> None:
                execute(module)
                if self in sys.meta_path:
                    sys.meta_path.remove(self)
                importlib.import_module("declouds.scenes.xarray_accessor")

            spec.loader.exec_module = execute_and_add  # type: ignore[method-assign]
        return spec


if "xarray" in sys.modules:
    importlib.import_module("declouds.scenes.xarray_accessor")
else:
    sys.meta_path.insert(0, _AfterXarray())
