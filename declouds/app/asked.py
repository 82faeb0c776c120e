"""What a user asks for on the page, and the same as the options of a scene."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from declouds.app.uploads import accepted
from declouds.errors import UserError
from declouds.scenes.options import SceneOptions
from declouds.scenes.sampling.mask_rule import KINDS

AUTO, EVERYTHING, TWO_VALUES = "auto", "none", "file"  # where the clouds are, beside a mask of one of the KINDS


@dataclass(frozen=True)
class Asked:
    """What a user asks for.

    Args:
        scene: the upload to clear.
        dates: uploads of the same place on other days.
        clouds: where they are: ``auto`` finds them, ``none`` clears everything; a ``file`` of two values, or a mask of
            one of the `KINDS`, is ``mask``.
        mask: the upload of that mask; not read with ``auto`` and ``none``.
        checkpoint: the weights; None for those that come with declouds.
        alone: clear by the other dates, without any weights.
        bands: band numbers or names, if they are not to be found by their names.
        align: move dates that are off the scene.
        quality: make maps of quality.
        samples: how often the scene is cleared, for the spread; without ``quality`` it is once.
    """

    scene: Path | None = None
    dates: Sequence[Path] = ()
    clouds: str = AUTO
    mask: Path | None = None
    checkpoint: str | None = None
    alone: bool = False
    bands: Sequence[str] = ()
    align: bool = False
    quality: bool = False
    samples: int = 1

    def taken(self, uploads: Path, folder: Path) -> tuple[Path, SceneOptions]:
        """Take the uploads, and return the scene, and how to clear it.

        Args:
            uploads: the folder that uploads are in.
            folder: the folder of the job: each file gets one of its own in it.

        Raises:
            UserError: something is missing or does not go together; see also `accepted` and `SceneOptions.check`.
        """
        in_file = self.clouds not in (AUTO, EVERYTHING)
        if self.scene is None:
            raise UserError("no scene yet: drop a GeoTIFF or a picture on the page first")
        if in_file and self.mask is None:
            raise UserError("no cloud mask yet: drop its file on the page, or let the clouds be found")
        if self.dates and self.clouds != AUTO:
            raise UserError("other dates need the clouds of each of them: let these be found")
        if self.alone and not self.dates:
            raise UserError("no other dates yet: drop their files on the page, or choose a model")
        scene = accepted(self.scene, uploads, folder / "scene")
        dates = [accepted(path, uploads, folder / f"date{number}") for number, path in enumerate(self.dates)]
        mask = accepted(self.mask, uploads, folder / "mask") if in_file and self.mask else self.clouds
        options = SceneOptions(
            mask=mask,
            mask_kind=self.clouds if self.clouds in KINDS else None,
            dates=[str(path) for path in dates] or None,
            bands=self.bands or None,
            align=self.align and bool(dates),
            quality=self.quality,
            samples=self.samples if self.quality else 1,
            preview=True,
        )
        options.check()
        return scene, options
