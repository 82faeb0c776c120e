"""The algorithm "Remove clouds"."""

from __future__ import annotations

from qgis.core import (
    QgsProcessing,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingOutputRasterLayer,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterMultipleLayers,
)

from . import child
from .algorithm import DecloudsAlgorithm, file_of, paragraphs

HELP = """\
Removes the clouds of an optical satellite scene. The result lies on the grid of the scene, in its units.

<b>Cloud mask</b>: only clouds are cleared, all other pixels stay as they are. <i>automatic</i> takes the mask that the
scene is delivered with, else looks for clouds; <i>scl</i>, <i>qa_pixel</i>, <i>udm2</i> and <i>fmask</i> take the
mask of that kind that comes with the scene; <i>none</i> clears the whole scene, thin even haze too.

<b>Cloud mask layer</b>: a raster to take instead. With <i>automatic</i> it holds 0 (clear) and 1 or 255 (cloud), else
it is of the chosen kind.

<b>Other dates</b>: rasters of the same place, whose clear pixels fill the clouds. Their day is read from the file, or
from its name (scene_2018-07-05.tif). Without weights, only other dates fill the clouds then.

<b>Weights</b>: of a model that you have trained; without any, the general model clears red, green and blue.

<b>Quality maps</b>: a raster beside the result, NAME_quality.tif, with the pixels that have changed.
"""


class RemoveClouds(DecloudsAlgorithm):
    """`declouds predict`."""

    def name(self) -> str:
        """Return the name in scripts."""
        return "removeclouds"

    def displayName(self) -> str:
        """Return the name for people."""
        return "Remove clouds"

    def tags(self) -> list[str]:
        """Return words to find it by."""
        return ["cloud", "haze", "shadow", "satellite", "sentinel", "landsat"]

    def shortHelpString(self) -> str:
        """Return the help in the dialog."""
        return paragraphs(HELP)

    def initAlgorithm(self, configuration: dict | None = None) -> None:
        """Add the parameters."""
        self.add_input()
        self.add_mask(child.MASKS)
        dates = QgsProcessingParameterMultipleLayers(
            "DATES", "Other dates of the place", QgsProcessing.TypeRaster, optional=True
        )
        self.addParameter(dates)
        self.add_weights()
        self.addParameter(QgsProcessingParameterBoolean("QUALITY", "Write quality maps", defaultValue=False))
        self.add_more("predict")
        self.add_output("Cleared scene")
        self.addOutput(QgsProcessingOutputRasterLayer("QUALITY_MAPS", "Quality maps"))

    def arguments(self, parameters: dict, context: QgsProcessingContext) -> list[str]:
        """Return sub-command and arguments, all but the output."""
        dates = [file_of(layer) for layer in self.parameterAsLayerList(parameters, "DATES", context)]
        self.quality = self.parameterAsBoolean(parameters, "QUALITY", context)
        return [
            "predict",
            *self.common_arguments(parameters, context),
            *(word for date in dates for word in ("--date", date)),
            *(["--quality"] if self.quality else []),
        ]

    def processAlgorithm(
        self, parameters: dict, context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict:
        """Run the child, and show the quality maps too where the result is shown."""
        made = super().processAlgorithm(parameters, context, feedback)
        if self.quality:
            made["QUALITY_MAPS"] = child.quality_of(made["OUTPUT"])
            if context.willLoadLayerOnCompletion(made["OUTPUT"]):
                details = QgsProcessingContext.LayerDetails("Quality maps", context.project(), "QUALITY_MAPS")
                context.addLayerToLoadOnCompletion(made["QUALITY_MAPS"], details)
        return made
