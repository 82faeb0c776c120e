"""A raster in, its cleared twin out: read by windows, computed in passes, written by blocks, published at the end."""

import functools
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from declouds import __version__
from declouds.calibration import SpreadCalibration
from declouds.scenes.checks import check_files
from declouds.scenes.cleared_image import BUFFER, Block, Tally, cleared_blocks, run_passes
from declouds.scenes.dates import Date, air_of, filled_from
from declouds.scenes.file_dates import open_dates, tags_of_scene
from declouds.scenes.further_bands import FurtherBands, bands_summary
from declouds.scenes.job import FileJob
from declouds.scenes.mask_source import MaskSource, mask_source
from declouds.scenes.memory import buffer_within
from declouds.scenes.options import SceneOptions
from declouds.scenes.products import Products
from declouds.scenes.radar import Radar, RadarInput, open_radar
from declouds.scenes.rasters.mask_file import open_mask
from declouds.scenes.rasters.picture import tell_orientation
from declouds.scenes.rasters.product_bands import colour_bands
from declouds.scenes.rasters.scene import Scene, scene_for
from declouds.scenes.rasters.scene_file import source_files
from declouds.scenes.rasters.stamp import stamp_of
from declouds.scenes.rasters.web_path import located
from declouds.scenes.sampling.cloud_mask import CloudMask, block_side, detect_clouds, range_seen
from declouds.scenes.sampling.image import Image, Read
from declouds.scenes.sampling.loop import Progress
from declouds.scenes.sampling.passes import Pass, clear_name
from declouds.scenes.sampling.ranks import Ranks
from declouds.scenes.sampling.tiles import Window
from declouds.scenes.summary import summary
from declouds.units import Units
from declouds.value_range import ValueRange
from declouds.wavelengths import wavelengths_of

_log = logging.getLogger("declouds")


@dataclass(frozen=True)
class Remover:
    """What a scene needs of a model.

    Args:
        passes: what is done with a scene.
        bands: bands that the model makes: the first of those that it takes.
        in_bands: bands that it takes of the scene.
        value_range: model values that stand for -1 and 1; None if every scene has its own, see `find_range`.
        band_names: names of the bands that it takes.
        digest: gives the SHA-256 of all that it is, see `model_digest`; for files alone, whose work may be resumed.
        device: what it runs on.
        precision: what it computes in, ``fp32`` or ``bf16``.
        steps: its number of sampling steps, if it has one.
        detector: finds the clouds when the mask is ``auto`` and the scene has none of its own.
        trained: units of the training images, if they are known.
        calibration: of the spread of samples, if the weights record one.
        name: of weights that come with the package.
        radar: that it takes besides, if it does.
    """

    passes: Sequence[Pass]
    bands: int
    in_bands: int
    value_range: ValueRange | None
    band_names: Sequence[str] = ()
    digest: Callable[[], str | None] = lambda: None
    device: str = "cpu"
    precision: str = "fp32"
    steps: int | None = None
    detector: Callable[[np.ndarray], np.ndarray] | None = None
    trained: Units | None = None
    calibration: SpreadCalibration | None = None
    name: str | None = None
    radar: RadarInput | None = None

    @property
    def channels(self) -> int:
        """Channels that the networks see: the bands of the scene, and those of the radar."""
        return self.in_bands + (0 if self.radar is None else self.radar.source.channels)


@dataclass(frozen=True)
class SceneReport:
    """What was done.

    Args:
        path: of the output.
        height: rows.
        width: columns.
        seconds: that it took.
        tally: what was met.
        mask: where the clouds were taken from.
        value_range: stored values that stand for -1 and 1, and where they come from, if the model takes any units.
        bands: what the bands that the model has cleared are called.
        further: what was done with other bands that the result has, see `bands_summary`.
        left_out: how many of the scene's bands the result lacks.
        dates: how many other dates there were.
        radar: what the model was shown of it, if it takes radar.
    """

    path: Path
    height: int
    width: int
    seconds: float
    tally: Tally
    mask: str
    value_range: str | None = None
    bands: Sequence[str] = ()
    further: Mapping[str, Any] | None = None
    left_out: int = 0
    dates: int = 0
    radar: str | None = None

    @property
    def speed(self) -> float:
        """Megapixels per second."""
        return self.height * self.width / 1e6 / max(self.seconds, 1e-9)


def clear_scene(
    remover: Remover,
    source: str | os.PathLike[str],
    destination: str | os.PathLike[str],
    options: SceneOptions,
    ranks: Ranks | None = None,
    progress: Progress | None = None,
) -> SceneReport:
    """Remove the clouds of a scene, and write the result on the same grid, in the same units and type.

    A pixel without data in any band (by the nodata value, the file's mask or transparency, NaN or infinity) comes back
    unchanged in every band, and the network sees its nearest neighbour in its place; so does a pixel that the mask
    calls clear. A cleared pixel never gets the nodata value. Values out of the model's range are clipped to it. Where
    the model takes more bands than it makes, the first are cleared and written, the rest are conditions. With a model
    of red, green and blue in any units, the scene's further bands are written too, see `FurtherBands`.

    What is computed is kept in the folder ``.NAME.partial`` beside the output until that is complete: after a kill, an
    interrupt or an error, the same call resumes, to the same bytes.

    Args:
        remover: what to do.
        source: the scene, of any kind that `open_scene` knows.
        destination: the GeoTIFF to write.
        options: the user's choices.
        ranks: the processes that share the work, if there are several.
        progress: called after every block in which clouds are looked for, then after every batch of windows.

    Raises:
        UserError: see `SceneOptions.check`, `check_files`, `scene_for`, `open_radar`, `mask_source`, `open_mask` and
            `FileJob`, all before any work; a damaged block met on the way; a model that gives NaN; a disk that fills
            up.
    """
    begin, ranks = time.monotonic(), ranks or Ranks()
    source, destination = located(source), Path(destination)
    options = options.with_mask(remover.value_range is None)
    options.check()
    if remover.value_range is None:
        options = with_colours(options, source)
    products = Products(destination, options)
    check_files(source, destination, **options.for_files())
    with (
        scene_for(
            *(source, remover.value_range, remover.in_bands, remover.bands, remover.band_names, options.bands),
            scale=options.scale,
            offset=options.offset,
            nodata=options.nodata,
            trained=remover.trained,
            given=options.value_range,
            further=not options.dates,
        ) as scene,
        open_radar(scene, options.sar, remover.radar) as radar,
        open_dates(scene, options, remover) as dates,
    ):
        files = [source, *source_files(scene.file)]
        mask = mask_source(options, source, scene.file, remover.detector)
        files += [*mask.files, *(file for date in dates for file in date.files)]
        files += [] if radar is None else radar.files
        products.check(files)
        channels = {step.output: step.output_bands for step in remover.passes}
        channels |= {"clouds": 1} if mask.detector is not None else {}
        channels |= {"mosaic": len(scene.indexes) + 1} if dates else {}
        channels |= {f"clouds_of_date{n}": 1 for n, date in enumerate(dates) if date.mask is None}
        products.check_space(scene, sum(channels.values()))
        settings = settings_of(remover, files, scene, options, mask)
        job = FileJob.shared(products.work_folder, settings, scene.size, ranks, options.restart)
        tally = Tally()
        try:
            if ranks.leads:
                tell_orientation(source, destination, scene.file)
                job.reserve(channels)
            ranks.wait()
            with masked_image(scene, mask, options, job, ranks, progress) as cloudy:
                image, facts = _filled(cloudy, scene, dates, remover, options, job, ranks)
                image = image if radar is None else radar.beside(image)
                buffer = BUFFER
                if options.memory is not None:
                    buffer = buffer_within(
                        *(options.memory, remover.passes, remover.bands, remover.channels, image, options),
                        torch.device(remover.device),
                    )
                run_passes(
                    *(image, remover.passes, remover.bands, job, options, tally, ranks, progress, buffer),
                    remover.device,
                )
                if ranks.leads:
                    blocks = cleared_blocks(
                        *(image, remover.bands, remover.passes, job, options, tally, remover.calibration)
                    )
                    if scene.further:
                        cleared = job.raster(clear_name(0), channels[clear_name(0)])
                        wavelengths = wavelengths_of(remover.band_names)
                        blocks = FurtherBands(scene, image, cleared, wavelengths).add(blocks, tally)
                    blocks = blocks if radar is None else _covered(blocks, radar, tally)
                    products.write(scene, _ordered(blocks, scene))
            report = SceneReport(
                *(destination, *scene.size, time.monotonic() - begin, tally, str(mask)),
                value_range=_range_in_words(remover, scene, options),
                bands=scene.names,
                further=bands_summary(scene, tally),
                left_out=scene.left_out,
                dates=len(dates),
                radar=None if radar is None else radar.in_words(tally.with_radar / (scene.size[0] * scene.size[1])),
            )
            if ranks.leads:
                if mask.detector is not None:
                    tally.warn_of_nothing(source)
                what_was_done = summary(
                    scene,
                    destination,
                    version=__version__,
                    model=dict(
                        **dict(sha256=remover.digest(), precision=remover.precision, steps=remover.steps),
                        calibration=_calibration(remover, options),
                        **_any_units(remover, scene),
                    ),
                    settings=options.deciding(),
                    mask=mask.summary(),
                    further=report.further,
                    dates=facts,
                    radar=None if radar is None else dict(file=radar.name and Path(radar.name).name),
                    pixels=tally.pixels
                    | (dict(filled=tally.from_dates, left=tally.left) if dates else {})
                    | ({} if radar is None else dict(with_radar=tally.with_radar)),
                    windows=dict(all=tally.windows, skipped=tally.skipped),
                    seconds=report.seconds,
                )
                products.publish(scene, what_was_done)
                job.remove()
        except BaseException:
            if ranks.leads and not job.has_begun:
                job.remove()
            elif ranks.leads:
                _log.warning("the work so far is kept in %s: the same command resumes it", job.folder)
            raise
        ranks.wait()
        return report


def with_colours(options: SceneOptions, source: Path) -> SceneOptions:
    """Return options that choose red, green and blue of a product whose bands are known, unless bands are given.

    Raises:
        UserError: see `colour_bands`.
    """
    return options if options.bands else replace(options, bands=colour_bands(source))


def _ordered(blocks: Iterator[Block], scene: Scene) -> Iterator[Block]:
    """Put the bands of the result into the order in which they are written."""
    cleared = [place for place in scene.order if place < scene.bands]
    for block in blocks:
        deviation = None if block.deviation is None else block.deviation[cleared]
        yield replace(block, values=block.values[list(scene.order)], deviation=deviation)


def _covered(blocks: Iterator[Block], radar: Radar, tally: Tally) -> Iterator[Block]:
    """Count the pixels that have radar."""
    for block in blocks:
        tally.with_radar += int(radar.covers(block.window).sum())
        yield block


def settings_of(
    remover: Remover, files: Sequence[Path], scene: Scene, options: SceneOptions, mask: MaskSource
) -> dict[str, Any]:
    """Return everything that decides the pixels of the result."""
    passes = [
        [step.title, step.output, step.output_bands, repr(step.inputs), repr(step.step_inputs)]
        for step in remover.passes
    ]
    stamps = {str(path.absolute()): stamp_of(path) for path in files}
    units = (scene.stored_range.low, scene.stored_range.high)
    return dict(
        **dict(version=__version__, model=remover.digest(), device=remover.device, files=stamps),
        **dict(indexes=scene.indexes, written=scene.written, stored_range=units, options=options.deciding()),
        **dict(passes=passes, mask=mask.settings(), torch=torch.__version__),
        calibration=_calibration(remover, options),
    )


def _range_in_words(remover: Remover, scene: Scene, options: SceneOptions) -> str | None:
    """Return the range of a scene for a model that takes any units."""
    if remover.value_range is not None:
        return None
    return f"{scene.stored_range}, {'found in the scene' if options.value_range is None else 'as given'}"


def _any_units(remover: Remover, scene: Scene) -> dict[str, Any]:
    """Return what there is to say of a model that takes a scene in any units."""
    if remover.value_range is not None:
        return {}
    return dict(name=remover.name, value_range=[scene.stored_range.low, scene.stored_range.high])


def _calibration(remover: Remover, options: SceneOptions) -> dict[str, Any] | None:
    """Return the calibration that the deviation is computed with, if one is."""
    return None if remover.calibration is None or options.samples == 1 else vars(remover.calibration)


@contextmanager
def masked_image(
    scene: Scene,
    mask: MaskSource,
    options: SceneOptions,
    job: FileJob,
    ranks: Ranks,
    progress: Progress | None = None,
) -> Iterator[Image]:
    """Give the image that the scene is, with its cloud mask.

    Args:
        scene: the open scene.
        mask: where its clouds come from.
        options: the user's choices.
        job: keeps what a detector finds, as a raster of one channel called ``clouds``.
        ranks: the processes that share the work.
        progress: called after every block that a detector has seen.

    Raises:
        UserError: see `open_mask`.
    """

    def image(cloud: Callable[[Window], np.ndarray] | None) -> Image:
        alpha = None
        if cloud is not None:
            alpha = CloudMask(cloud, *scene.size, options.dilate, options.feather, scene.valid).alpha
        return Image(*scene.size, scene.read, scene.stored_range, scene.nodata, alpha)

    if mask.file is not None:
        with open_mask(mask.file, scene.file, mask.rule) as cloud:
            if ranks.leads:
                cloud.warn(scene.path, scene.valid)
            yield image(cloud)
    else:
        yield image(None if mask.detector is None else _detected(mask.detector, scene, job, ranks, progress))


def _filled(
    image: Image,
    scene: Scene,
    dates: Sequence[Date],
    remover: Remover,
    options: SceneOptions,
    job: FileJob,
    ranks: Ranks,
) -> tuple[Image, list[dict[str, Any]]]:
    """Return the image with its clouds filled from other dates, if there are any, and what was done with each."""
    if not dates:
        return image, []
    detect = functools.partial(_detect, remover.detector, scene)
    air = air_of([scene.file.descriptions[index - 1] for index in scene.indexes], tags_of_scene(scene))
    filled = filled_from(*(image, str(scene.path), air, dates, detect, job, options), leads=ranks.leads)
    ranks.wait()
    return filled


def _detected(
    detector: Any, scene: Scene, job: FileJob, ranks: Ranks, progress: Progress | None
) -> Callable[[Window], np.ndarray]:
    """Find the clouds, unless that was done before, and return what reads them."""
    whole, side = Window(0, 0, *scene.size), block_side(detector)
    if ranks.leads and job.rows_done("clouds", whole) == 0:
        raster, blocks = job.raster("clouds", 1), -(-scene.size[0] // side) * -(-scene.size[1] // side)
        for done, (window, cloud) in enumerate(_detect(detector, scene, scene.read), start=1):
            raster.write(window, cloud[None].astype(np.float32))
            if progress is not None:
                progress("finding clouds", done, blocks)
        job.note_rows("clouds", whole, job.height)
    ranks.wait()
    return lambda window: job.raster("clouds", 1).read(window)[0] > 0


def _detect(detector: Any, scene: Scene, read: Read) -> Iterator[tuple[Window, np.ndarray]]:
    """Find the clouds of the scene, or of a date on its grid, block by block."""
    seen = range_seen(detector, scene.stored_range, scene.reflectance)
    return detect_clouds(detector, read, seen, *scene.size)
