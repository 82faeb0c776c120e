"""QGIS plugin: algorithms of Processing that run the installed `declouds`."""

from __future__ import annotations

from typing import Any


def classFactory(iface: Any) -> Any:
    """Return the plugin.

    Args:
        iface: the window of QGIS; None in `qgis_process`.
    """
    from .plugin import DecloudsPlugin

    return DecloudsPlugin()
