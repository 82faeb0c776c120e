"""How a scene is cleared: every choice that a user has, with its default."""

import math
import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, replace
from operator import index
from pathlib import Path
from typing import Any

import numpy as np

from declouds.argument_kinds import check_arguments
from declouds.compositing.composite import HOW
from declouds.errors import UserError
from declouds.scenes.rasters.web_path import redacted
from declouds.scenes.sampling.mask_rule import KINDS, MaskRule, rule_of
from declouds.scenes.sampling.noise import check_seed
from declouds.scenes.sampling.tiles import Tiling

LONGEST = 80  # letters of a value in a message


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
        bands: the bands that the model takes, in its order: numbers from 1, or names in the file. With a model of red,
            green and blue in any units, further ones may follow: see `declouds.scenes.further_bands`.
        scale: model value = stored value * scale + offset; the file's or DataArray's own if not given.
        offset: see ``scale``.
        nodata: the value that means "no data", in place of the file's own; the output says so.
        value_range: stored values that are darkest and brightest, for a model of any units, in place of those found in
            the scene.
        mask: a raster of the clouds, on any grid (of an image in memory: an array of its size); a kind of mask that
            comes with the scene (``scl``, ``qa_pixel``, ``udm2``, ``fmask``), or ``product`` for any of these that it
            is delivered with; ``auto`` for that, or for the ``detector`` if there is none or a detector is named;
            ``none``: all is cleared. If not given, it is ``auto`` for a model of any units, such as the one that
            comes with the package, and ``none`` for all others.
        mask_kind: the product that ``mask`` is of, which says what in it is cloud and what is shadow.
        mask_values: the values of ``mask`` that mean cloud or shadow, if it has more than 0 and one other.
        mask_bits: the bits of ``mask``, from 0, that mean cloud or shadow.
        mask_above: the value of ``mask`` above which a pixel is cloud, as the file has it: 0.4, or 40 of 100.
        shadow: whether the shadows of clouds are cleared too, ``clear`` or ``keep``, where mask or detector know them.
        detector: a registered cloud detector: its name, or a config; BrightWhite if not given.
        dilate: pixels by which clouds are grown.
        feather: pixels inside the grown clouds over which the result fades in.
        dates: further images of the place, on any grid, whose clear pixels replace the target's clouds: paths, each
            with its day behind an ``@`` if neither tags nor name have it (``other.tif@2018-06-25``). Of an image in
            memory, the names of images in memory: see `declouds.scenes.api.remove_clouds`.
        composite: how these become one: ``linear`` in time between the clear dates before and after, ``nearest`` in
            time, or the ``median`` of the clear ones.
        colour: ``match`` the colour of each date to the target's clear pixels, or ``keep`` it.
        align: shift dates that lie half a pixel or more beside the target.
        date_masks: a mask file for each of the dates, in their order, where ``mask`` is a file.
        sar: radar of the place, on any grid, for a model that was trained with it: a path. Of an image in memory it is
            in memory too: see `declouds.scenes.api.remove_clouds`.
        memory: bytes that the process may take at most, as far as that depends on the scene.
        cog: write a Cloud Optimised GeoTIFF.
        quality: write weight, standard deviation (the calibrated one, if the weights record a calibration) and changed
            pixels beside the result, as ``NAME_quality.tif``.
        preview: write a quick-look ``NAME.png`` and a page with a slider, ``NAME.html``.
        overwrite: replace existing outputs.
        restart: drop the unfinished work of an earlier command.
    """

    tile: int = 256
    overlap: int = 32
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
    value_range: tuple[float, float] | None = None
    mask: str | Path | np.ndarray | None = None
    mask_kind: str | None = None
    mask_values: Sequence[int] | None = None
    mask_bits: Sequence[int] | None = None
    mask_above: float | None = None
    shadow: str = "clear"
    detector: str | dict[str, Any] | None = None
    dilate: int = 0
    feather: int = 0
    dates: Sequence[str] | None = None
    composite: str = "linear"
    colour: str = "match"
    align: bool = False
    date_masks: Sequence[str] | None = None
    sar: str | Path | None = None
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
        for name in ("dates", "date_masks"):
            if (given := getattr(self, name)) is not None:
                listed = not isinstance(given, str | set | frozenset)
                object.__setattr__(self, name, _listed(name, given, os.fspath, "paths", listed))
        for name in ("mask_values", "mask_bits"):
            if (given := getattr(self, name)) is not None:
                object.__setattr__(self, name, _listed(name, given, index, "integers", not isinstance(given, str)))
        if self.value_range is not None:
            numbers = _listed(
                "value_range", self.value_range, float, "two numbers", not isinstance(self.value_range, str)
            )
            object.__setattr__(self, "value_range", tuple(numbers))
        check_arguments(type(self), vars(self))

    def with_mask(self, any_units: bool) -> "SceneOptions":
        """Return these choices with the mask that is the default for a model of any units, or for another one."""
        return self if self.mask is not None else replace(self, mask="auto" if any_units else "none")

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
        if self.value_range is not None:
            low, high = self.value_range if len(self.value_range) == 2 else (math.nan, math.nan)
            if not -math.inf < low < high < math.inf:
                raise UserError(
                    f"value_range = {self.value_range}: give two numbers, the darkest and the brightest value"
                )
        if self.dilate < 0 or self.feather < 0:
            raise UserError(f"dilate = {self.dilate}, feather = {self.feather}: pixels are counted from 0")
        if self.samples > 1 and not self.quality:
            raise UserError(f"samples = {self.samples}: their standard deviation goes into --quality: ask for that too")
        self._check_mask()
        self._check_dates()

    def _check_dates(self) -> None:
        """Refuse choices about several dates that do not go together."""
        _check_word("composite", self.composite, HOW)
        _check_word("colour", self.colour, ("match", "keep"))
        if not self.dates:
            if self.date_masks or self.align or self.composite != "linear" or self.colour != "match":
                raise UserError("--composite, --colour, --align and --date-mask are for several dates: give --date too")
            return
        if self.clears_all:
            raise UserError("--date fills clouds, and no mask says where they are: give --mask auto, or a mask file")
        in_file = not (self.detects or self.from_product)
        if in_file and len(self.date_masks or ()) != len(self.dates):
            own = "mask" if isinstance(self.mask, np.ndarray) else f"--mask {_without_secrets(self.mask)}"
            raise UserError(
                f"{own} is the mask of one date: give one --date-mask FILE for each --date, in the same order (in "
                "Python, date_masks=[...]), or --mask auto for all"
            )
        if self.date_masks and not in_file:
            raise UserError(f"--date-mask goes with a mask file of the scene: leave it out with --mask {self.mask}")

    def _check_mask(self) -> None:
        """Refuse choices of a mask that do not go together."""
        names = ("mask_values", "mask_bits", "mask_above", "mask_kind")
        ways = [f"--{name.replace('_', '-')}" for name in names if getattr(self, name) is not None]
        if self.clears_all and (self.dilate or self.feather or ways or self.shadow == "keep"):
            raise UserError("--dilate, --feather, --shadow and --mask-... say how a mask is used: give --mask too")
        if ways and (self.detects or self.from_product):
            raise UserError(f"{ways[0]} says what is cloud in a mask file: leave it out with --mask {self.mask}")
        if len(ways) > 1:
            raise UserError(f"{' and '.join(ways)} say in several ways what is cloud: give one of them")
        if self.mask_kind is not None:
            _check_word("mask_kind", self.mask_kind, KINDS)
        _check_word("shadow", self.shadow, ("clear", "keep"))
        if any(not 0 <= bit < 64 for bit in self.mask_bits or ()):
            raise UserError(f"mask_bits = {self.mask_bits}: bits are counted from 0, the lowest, to 63")
        if not math.isfinite(self.mask_above or 0):
            raise UserError(f"mask_above = {self.mask_above}: give a number in the mask's own values")
        if self.shadow == "keep" and not (self.detects or self.from_product or self.mask_kind):
            raise UserError("--shadow keep is for masks of known products (--mask-kind): leave the shadow's class out")
        if self.detector is not None and not self.detects:
            raise UserError("--detector names what finds the clouds for --mask auto: give that too")

    @property
    def tiling(self) -> Tiling:
        """The windows."""
        return Tiling(self.tile, self.overlap, self.taper, self.blend, self.batch_size)

    @property
    def clears_all(self) -> bool:
        """Whether there is no mask."""
        return self.mask is None or (isinstance(self.mask, str) and self.mask == "none")

    @property
    def detects(self) -> bool:
        """Whether the clouds are found by the detector, unless the scene has a mask of its own."""
        return isinstance(self.mask, str) and self.mask == "auto"

    @property
    def from_product(self) -> bool:
        """Whether the mask has to come with the scene."""
        return isinstance(self.mask, str) and self.mask in ("product", *KINDS)

    @property
    def rule(self) -> MaskRule:
        """What is cloud in a mask that the user gives."""
        if self.mask_kind is not None:
            return self.rule_of(self.mask_kind)
        return MaskRule(tuple(self.mask_values or ()), tuple(self.mask_bits or ()), self.mask_above)

    def rule_of(self, kind: str) -> MaskRule:
        """Return what is cloud in a mask of a product."""
        return rule_of(kind, shadow=self.shadow == "clear")

    def deciding(self) -> dict[str, Any]:
        """Return the choices that decide the pixels of the result."""
        rest = ("memory", "cog", "preview", "overwrite", "restart")
        mask = dict(mask=None if self.clears_all else self.mask)
        chosen = {key: value for key, value in (asdict(self) | mask).items() if key not in rest}
        files = {key: chosen[key] for key in ("mask", "dates", "date_masks", "sar")}
        return chosen | {key: _without_secrets(value) for key, value in files.items()}

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
        shown = " ".join(repr(values).split())
        raise UserError(
            f"{name} = {shown if len(shown) < LONGEST else shown[:LONGEST] + ' ...'}: give a list of {word}"
        )
    return found


def _without_secrets(given: Any) -> Any:
    """Return paths and addresses as they may be kept."""
    if isinstance(given, list):
        return [redacted(one) for one in given]
    return redacted(given) if isinstance(given, str) else given


def _check_word(name: str, word: str, known: Collection[str]) -> None:
    """Refuse unknown words."""
    if word not in known:
        raise UserError(f"{name} = {word!r}: choose one of {', '.join(known)}")
