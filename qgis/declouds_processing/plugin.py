"""The plugin: it adds the provider to Processing."""

from __future__ import annotations

from qgis.core import QgsApplication

from .provider import DecloudsProvider


class DecloudsPlugin:
    """What QGIS loads and unloads."""

    def __init__(self) -> None:
        self.provider: DecloudsProvider | None = None

    def initProcessing(self) -> None:
        """Add the provider; all that `qgis_process` asks for."""
        self.provider = DecloudsProvider()
        QgsApplication.processingRegistry().addProvider(self.provider)

    def initGui(self) -> None:
        """Do the same in the window."""
        self.initProcessing()

    def unload(self) -> None:
        """Remove the provider."""
        QgsApplication.processingRegistry().removeProvider(self.provider)
