"""What both algorithms share: layers in, `declouds` as a child process, a raster out."""

from __future__ import annotations

import subprocess
from pathlib import Path

from processing.core.ProcessingConfig import ProcessingConfig
from qgis.core import (
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFile,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
    QgsRasterLayer,
)
from qgis.PyQt.QtGui import QIcon

from . import child

COMMAND_SETTING = "DECLOUDS_COMMAND"
ICON = Path(__file__).with_name("icon.svg")


class DecloudsAlgorithm(QgsProcessingAlgorithm):
    """An algorithm that runs a sub-command of `declouds`."""

    def icon(self) -> QIcon:
        """Return the icon."""
        return QIcon(str(ICON))

    def add_input(self) -> None:
        """Add the scene."""
        self.addParameter(QgsProcessingParameterRasterLayer("INPUT", "Scene"))

    def add_mask(self, masks: tuple[str, ...]) -> None:
        """Add where the clouds are known from.

        Args:
            masks: those of `child.MASKS` that the sub-command has.
        """
        self.addParameter(
            QgsProcessingParameterEnum("MASK", "Cloud mask", masks, defaultValue=masks[0], usesStaticStrings=True)
        )
        self.addParameter(QgsProcessingParameterRasterLayer("MASK_LAYER", "Cloud mask layer", optional=True))

    def add_weights(self) -> None:
        """Add the weights."""
        parameter = QgsProcessingParameterFile(
            "WEIGHTS", "Weights (else the general model)", extension="safetensors", optional=True
        )
        self.addParameter(parameter)

    def add_more(self, subcommand: str) -> None:
        """Add the place for all other flags of a sub-command."""
        parameter = QgsProcessingParameterString(
            "EXTRA", f"Additional arguments (declouds {subcommand} --help)", optional=True
        )
        parameter.setFlags(parameter.flags() | QgsProcessingParameterDefinition.FlagAdvanced)
        self.addParameter(parameter)

    def add_output(self, title: str) -> None:
        """Add the raster that is written."""
        self.addParameter(QgsProcessingParameterRasterDestination("OUTPUT", title))

    def checkParameterValues(self, parameters: dict, context: QgsProcessingContext) -> tuple[bool, str]:
        """Tell whether the choices can be passed on, and why not: the dialog shows that before the work begins."""
        fine, why = super().checkParameterValues(parameters, context)
        if fine:
            try:
                self.command_line(parameters, context)
            except child.ChildError as error:
                return False, str(error)
        return fine, why

    def prepareAlgorithm(
        self, parameters: dict, context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> bool:
        """Take the choices, in the main thread, which owns the layers."""
        try:
            self.command = self.command_line(parameters, context)
        except child.ChildError as error:
            raise QgsProcessingException(str(error)) from error
        return True

    def command_line(self, parameters: dict, context: QgsProcessingContext) -> list[str]:
        """Return the command line, all but the output.

        Raises:
            ChildError: there is no `declouds`, or a choice cannot be passed on.
        """
        setting = ProcessingConfig.getSetting(COMMAND_SETTING)
        return [*child.find_command(str(setting or "")), *self.arguments(parameters, context)]

    def arguments(self, parameters: dict, context: QgsProcessingContext) -> list[str]:
        """Return sub-command and arguments, all but the output.

        Raises:
            ChildError: a choice cannot be passed on.
        """
        raise NotImplementedError

    def common_arguments(self, parameters: dict, context: QgsProcessingContext) -> list[str]:
        """Return the arguments that both sub-commands take."""
        mask_layer = self.parameterAsRasterLayer(parameters, "MASK_LAYER", context)
        weights = self.parameterAsFile(parameters, "WEIGHTS", context)
        return [
            file_of(self.parameterAsRasterLayer(parameters, "INPUT", context)),
            *child.mask_flags(
                self.parameterAsEnumString(parameters, "MASK", context),
                None if mask_layer is None else file_of(mask_layer),
            ),
            *(["--checkpoint", weights] if weights else []),
            *child.words(self.parameterAsString(parameters, "EXTRA", context)),
        ]

    def processAlgorithm(
        self, parameters: dict, context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict:
        """Run the child."""
        output = self.parameterAsOutputLayer(parameters, "OUTPUT", context)
        command = [*self.command, "--output", output, "--overwrite"]  # QGIS has asked before
        feedback.pushCommandInfo(subprocess.list2cmdline(command))

        def on_progress(percent: int, doing: str) -> None:
            feedback.setProgress(percent)
            if doing != self.doing:
                feedback.setProgressText(doing)
            self.doing = doing

        self.doing = ""
        try:
            child.run(command, output, on_progress, feedback.pushInfo, feedback.isCanceled)
        except child.ChildError as error:
            raise QgsProcessingException(str(error)) from error
        return {"OUTPUT": output}

    def createInstance(self) -> DecloudsAlgorithm:
        """Return another one, as QGIS wants for each run."""
        return type(self)()


def file_of(layer: QgsRasterLayer) -> str:
    """Return the file of a layer.

    Raises:
        ChildError: it is none.
    """
    return child.file_of(layer.name(), layer.providerType(), layer.source())


def paragraphs(text: str) -> str:
    """Return the help of an algorithm as HTML."""
    return "".join(f"<p>{' '.join(paragraph.split())}</p>" for paragraph in text.split("\n\n"))
