"""declouds: remove clouds from optical satellite images.

The package root is light; ``load_model`` and ``remove_clouds`` import what they need when they are first used.
"""

from typing import Any

from declouds.errors import UserError

__version__ = "0.1.0"
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
