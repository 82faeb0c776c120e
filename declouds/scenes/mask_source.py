"""Where the clouds of a scene are taken from: a file that the user gives, the product's own mask, or a detector."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rasterio.io import DatasetReader

from declouds.errors import UserError
from declouds.scenes.identity import description
from declouds.scenes.options import SceneOptions
from declouds.scenes.rasters.mask_file import mask_files
from declouds.scenes.rasters.product_mask import OWN, product_mask
from declouds.scenes.rasters.web_path import located, redacted
from declouds.scenes.sampling.mask_rule import KINDS, TWO_CLASSES, MaskRule


@dataclass(frozen=True)
class MaskSource:
    """Where the clouds come from.

    Args:
        file: a raster, as the user or the product names it.
        rule: what in it is cloud.
        detector: finds the clouds, if there is no file; if there is neither, the whole scene is cleared.
    """

    file: str | None = None
    rule: MaskRule = TWO_CLASSES
    detector: Any = None

    def __str__(self) -> str:
        """Return it in words, for the user."""
        if self.file is not None:
            kind = f"{KINDS[self.rule.kind].title}, " if self.rule.kind else ""
            return f"{redacted(self.file)} ({kind}{self.rule})"
        return "the whole scene" if self.detector is None else f"the detector {type(self.detector).__name__}"

    @property
    def files(self) -> list[Path]:
        """Every file that the mask comes from."""
        return [] if self.file is None else mask_files(self.file)

    def settings(self) -> dict[str, Any]:
        """Return all that decides the mask, apart from the pixels of its files."""
        return dict(file=self.file and redacted(self.file), rule=vars(self.rule), detector=description(self.detector))

    def summary(self) -> dict[str, Any] | None:
        """Return what a reader of the result should know; None if there is no mask."""
        if self.file is not None:
            return dict(file=located(self.file).name, kind=self.rule.kind, cloud=str(self.rule))
        return None if self.detector is None else dict(detector=type(self.detector).__name__)


def mask_source(options: SceneOptions, path: Path, scene: DatasetReader, detector: Any) -> MaskSource:
    """Find out where the clouds of a scene come from.

    Args:
        options: the user's choices.
        path: the scene, as the user named it.
        scene: the same, open.
        detector: what finds the clouds if nothing else tells them.

    Raises:
        UserError: the mask has to come with the scene, and does not; see also `product_mask`.
    """
    if options.clears_all:
        return MaskSource()
    if options.from_product or (options.detects and options.detector is None):
        kind = str(options.mask) if options.mask in KINDS else None
        if own := product_mask(path, scene, kind):
            return MaskSource(os.fspath(own[1]), options.rule_of(own[0]))
        if not options.detects:
            what = KINDS[kind].title if kind else f"a mask of its own ({', '.join(KINDS[one].title for one in OWN)})"
            how = f" --mask-kind {kind}" if kind else ""
            raise UserError(
                f"{path}: {what} is neither in it nor beside it under its usual name: give the file "
                f"(--mask FILE{how}), or find clouds with a detector (--mask auto)"
            )
    if options.detects:
        return MaskSource(detector=detector)
    return MaskSource(str(options.mask), options.rule)
