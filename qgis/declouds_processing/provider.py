"""The provider of Processing: the algorithms, and the setting that says where `declouds` is."""

from __future__ import annotations

from processing.core.ProcessingConfig import ProcessingConfig, Setting
from qgis.core import QgsProcessingProvider
from qgis.PyQt.QtGui import QIcon

from .algorithm import COMMAND_SETTING, ICON
from .mask_clouds import MaskClouds
from .remove_clouds import RemoveClouds


class DecloudsProvider(QgsProcessingProvider):
    """The algorithms of declouds."""

    def id(self) -> str:
        """Return the name in scripts."""
        return "declouds"

    def name(self) -> str:
        """Return the name for people."""
        return "declouds"

    def icon(self) -> QIcon:
        """Return the icon."""
        return QIcon(str(ICON))

    def load(self) -> bool:
        """Add the setting and the algorithms."""
        ProcessingConfig.settingIcons[self.name()] = self.icon()
        title = "declouds command (empty: $DECLOUDS_COMMAND, else declouds on the PATH)"
        ProcessingConfig.addSetting(Setting(self.name(), COMMAND_SETTING, title, "", valuetype=Setting.STRING))
        ProcessingConfig.readSettings()
        self.refreshAlgorithms()
        return True

    def unload(self) -> None:
        """Remove the setting."""
        ProcessingConfig.removeSetting(COMMAND_SETTING)

    def loadAlgorithms(self) -> None:
        """Add the algorithms."""
        for algorithm in (RemoveClouds(), MaskClouds()):
            self.addAlgorithm(algorithm)

    def supportedOutputRasterLayerExtensions(self) -> list[str]:
        """Return what can be written."""
        return ["tif", "tiff"]
