"""The algorithm "Mask clouds"."""

from __future__ import annotations

from qgis.core import QgsProcessingContext, QgsProcessingParameterEnum

from . import child
from .algorithm import DecloudsAlgorithm, paragraphs

DETECTORS = ("OwnChange", "BrightWhite", "UkisCsmask", "OmniCloudMask", "CloudScore")
HELP = """\
Writes which pixels of a scene are cloud, on the grid of the scene: 0 is clear, 1 cloud or its shadow, 255 no data.
These are the pixels that <i>Remove clouds</i> clears.

<b>Cloud mask</b>: <i>automatic</i> takes the mask that the scene is delivered with, else a detector; <i>scl</i>,
<i>qa_pixel</i>, <i>udm2</i> and <i>fmask</i> take the mask of that kind that comes with the scene.

<b>Cloud mask layer</b>: a raster to take instead. With <i>automatic</i> it holds 0 (clear) and 1 or 255 (cloud), else
it is of the chosen kind.

<b>Cloud detector</b>: takes that detector in any case. <i>OwnChange</i> is what the model itself would change, haze
and shadow too; <i>BrightWhite</i> looks for bright, white pixels; the others need bands beside red, green and blue.
"""


class MaskClouds(DecloudsAlgorithm):
    """`declouds mask`."""

    def name(self) -> str:
        """Return the name in scripts."""
        return "maskclouds"

    def displayName(self) -> str:
        """Return the name for people."""
        return "Mask clouds"

    def tags(self) -> list[str]:
        """Return words to find it by."""
        return ["cloud", "shadow", "mask", "detect", "satellite", "sentinel", "landsat"]

    def shortHelpString(self) -> str:
        """Return the help in the dialog."""
        return paragraphs(HELP)

    def initAlgorithm(self, configuration: dict | None = None) -> None:
        """Add the parameters."""
        self.add_input()
        self.add_mask(tuple(mask for mask in child.MASKS if mask != child.NONE))
        detector = QgsProcessingParameterEnum(
            "DETECTOR", "Cloud detector", DETECTORS, optional=True, usesStaticStrings=True
        )
        self.addParameter(detector)
        self.add_weights()
        self.add_more("mask")
        self.add_output("Cloud mask")

    def arguments(self, parameters: dict, context: QgsProcessingContext) -> list[str]:
        """Return sub-command and arguments, all but the output."""
        detector = self.parameterAsEnumString(parameters, "DETECTOR", context)
        chosen = ["--detector", detector] if detector else []
        return ["mask", *self.common_arguments(parameters, context), *chosen]
