"""How a scene is cleared: every choice that a user has, with its default."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from operator import index
from pathlib import Path
from typing import Any

import numpy as np

from declouds.argument_kinds import check_arguments
from declouds.errors import UserError
from declouds.scenes.sampling.noise import check_seed
from declouds.scenes.sampling.tiles import Tiling


@dataclass(frozen=True)
class SceneOptions:
    """The choices, as the flags of `declouds predict` have them.

    Args:
        tile: height and width of a window.
        overlap: pixels that neighbouring windows share at least, where they are blended.
        taper: how the weight of a window falls towards its edges, ``cosine`` or ``linear``.
        blend: ``joint`` averages the windows at every step of the sampler, ``final`` once at the end.
        batch_size: windows computed at a time; if not given, as many as fit a GPU's memory, and one on a CPU.
        precision: ``fp32``, ``bf16``, or ``auto``: bfloat16 where the device has it and the record of the weights says
            that the results are as good.
        steps: number of sampling steps; that recorded with the weights if not given, else that of the model's config.
        compile: compile the networks first (`torch.compile`), which takes a minute: for many windows on a GPU.
        seed: of the noise, which is tied to the pixel's place: the same in every window.
        samples: how often the scene is cleared, each time from other noise; the first is the result, the others give
            its standard deviation.
        bands: the bands that the model takes, in its order: numbers from 1, or names in the file.
        scale: model value = stored value * scale + offset; the file's or DataArray's own if not given.
        offset: see ``scale``.
        nodata: the value that means "no data", in place of the file's own; the output says so.
        mask: a raster of the clouds, on any grid (of an image in memory: an array of its size), or ``auto``
            for the ``detector``; all is cleared if not given.
        mask_values: the values of ``mask`` that mean cloud or shadow, if it has more than 0 and one other.
        detector: a registered cloud detector: its name, or a config.
        dilate: pixels by which clouds are grown.
        feather: pixels inside the grown clouds over which the result fades in.
        memory: bytes that the process may take at most, as far as that depends on the scene.
        cog: write a Cloud Optimised GeoTIFF.
        quality: write weight, standard deviation (the calibrated one, if the weights record a calibration) and changed
            pixels beside the result, as ``NAME_quality.tif``.
        preview: write a quick-look ``NAME.png`` and a page with a slider, ``NAME.html``.
        overwrite: replace existing outputs.
        restart: drop the unfinished work of an earlier command.
    """

    tile: int = 256
    overlap: int = 64
    taper: str = "cosine"
    blend: str = "joint"
    batch_size: int | None = None
    precision: str = "auto"
    steps: int | None = None
    compile: bool = False
    seed: int = 0
    samples: int = 1
    bands: Sequence[str] | None = None
    scale: float | None = None
    offset: float | None = None
    nodata: float | None = None
    mask: str | Path | np.ndarray | None = None
    mask_values: Sequence[int] | None = None
    detector: str | dict[str, Any] = "BrightWhite"
    dilate: int = 0
    feather: int = 0
    memory: int | None = None
    cog: bool = False
    quality: bool = False
    preview: bool = False
    overwrite: bool = False
    restart: bool = False

    def __post_init__(self) -> None:
        """Refuse choices of another kind, and make lists of what may be arrays or sets.

        NumPy and JSON take those for something else.

        Raises:
            UserError: as said; the bands are a set, which has no order; or a list holds other things.
        """
        if self.bands is not None:
            ordered = not isinstance(self.bands, str | set | frozenset)
            object.__setattr__(self, "bands", _listed("bands", self.bands, str, "numbers or names", ordered))
        if self.mask_values is not None:
            whole = not isinstance(self.mask_values, str)
            object.__setattr__(self, "mask_values", _listed("mask_values", self.mask_values, index, "integers", whole))
        check_arguments(type(self), vars(self))

    def check(self) -> None:
        """Refuse what no scene could be cleared with.

        Raises:
            UserError: as said.
        """
        self.tiling.check()
        check_seed(self.seed)
        if not 1 <= self.samples <= 100:
            raise UserError(
                f"samples = {self.samples}: a scene is cleared 1 to 100 times; 8 give a good estimate of the deviation"
            )
        if not (self.scale is None or 0 < self.scale < math.inf) or not math.isfinite(self.offset or 0):
            raise UserError(f"scale = {self.scale}, offset = {self.offset}: a scale is above 0, and both are numbers")
        if self.dilate < 0 or self.feather < 0:
            raise UserError(f"dilate = {self.dilate}, feather = {self.feather}: pixels are counted from 0")
        if self.samples > 1 and not self.quality:
            raise UserError(f"samples = {self.samples}: their standard deviation goes into --quality: ask for that too")
        if self.mask is None and (self.dilate or self.feather or self.mask_values):
            raise UserError("--dilate, --feather and --mask-values say how a mask is used: give --mask too")
        if self.detects and self.mask_values:
            raise UserError("--mask-values names the classes of a mask file: leave it out with --mask auto")

    @property
    def tiling(self) -> Tiling:
        """The windows."""
        return Tiling(self.tile, self.overlap, self.taper, self.blend, self.batch_size)

    @property
    def detects(self) -> bool:
        """Whether the clouds are found by the detector."""
        return isinstance(self.mask, str) and self.mask == "auto"

    def deciding(self) -> dict[str, Any]:
        """Return the choices that decide the pixels of the result."""
        rest = ("memory", "cog", "preview", "overwrite", "restart")
        return {key: value for key, value in asdict(self).items() if key not in rest}

    def for_files(self) -> dict[str, Any]:
        """Return what `check_files` has to know."""
        return dict(overwrite=self.overwrite, nodata=self.nodata, bands=self.bands)


def _listed(name: str, values: Any, kind: Callable[[Any], Any], word: str, usable: bool) -> list[Any]:
    """Return values as a list of one kind."""
    try:
        found = [kind(value) for value in values] if usable else []
    except TypeError:
        found = []
    if not found:
        raise UserError(f"{name} = {values!r}: give a list of {word}")
    return found
