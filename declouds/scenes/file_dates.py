"""Other dates from files: opened, checked against the target, and laid on its grid."""

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from typing import Any

from declouds.errors import UserError
from declouds.scenes.dates import Date, check_type, range_of_date
from declouds.scenes.mask_source import MaskSource, mask_source
from declouds.scenes.options import SceneOptions
from declouds.scenes.rasters.date_file import day_of, on_grid_of, split_date
from declouds.scenes.rasters.mask_file import open_mask
from declouds.scenes.rasters.scene import Scene, scene_for
from declouds.scenes.rasters.scene_file import source_files
from declouds.scenes.rasters.web_path import redacted
from declouds.scenes.sampling.cloud_mask import Pixels


@contextmanager
def open_dates(target: Scene, options: SceneOptions, remover: Any) -> Iterator[list[Date]]:
    """Open the other dates of a scene, with the bands and units of the target; none without `options.dates`.

    Raises:
        UserError: a date is the target itself, is named twice, has other bands or units, does not overlap the target,
            or has no day and one is needed; see also `scene_for` and `mask_source`.
    """
    with ExitStack() as stack:
        ours, found = day_of(target.file, target.path), []
        _check_paths(target, options.dates or ())
        if options.dates and ours is None and options.composite != "median":
            raise UserError(
                f"{target.path}: neither its tags nor its name say when it was taken: put the day into its name, as in "
                "scene_2018-07-05.tif, or use --composite median, which needs none"
            )
        for number, given in enumerate(options.dates or ()):
            path, day = split_date(given)
            scene = stack.enter_context(
                scene_for(
                    *(path, remover.value_range, remover.in_bands, remover.bands, remover.band_names, options.bands),
                    **dict(scale=options.scale, offset=options.offset, nodata=options.nodata, trained=remover.trained),
                )
            )
            if remover.value_range is None:
                in_its_units = range_of_date(target.stored_range, tags_of_scene(target), tags_of_scene(scene))
                scene = replace(scene, stored_range=in_its_units)
            if scene.stored_range == target.stored_range:
                check_type(str(path), scene.dtype, target.dtype)
            day = day or day_of(scene.file, path)
            if day is None and options.composite != "median":
                raise UserError(
                    f"{path}: neither its tags nor its name say when it was taken: say it (--date {path}@2018-06-25), "
                    "or use --composite median, which needs no dates"
                )
            laid = functools.partial(on_grid_of, target, scene)
            with laid():
                pass  # it can be laid there
            if options.date_masks:
                mask = MaskSource(options.date_masks[number], options.rule)
            else:
                mask = mask_source(options, path, scene.file, remover.detector)
            gap = math.nan if day is None or ours is None else float((day - ours).days)
            files = [path, *source_files(scene.file), *mask.files]
            found.append(Date(str(path), day, gap, laid, _opener(mask, target, scene), files))
        yield found


def _opener(mask: MaskSource, target: Scene, date: Scene) -> Callable[[], AbstractContextManager[Pixels]] | None:
    """Return what opens the mask of a date on the grid of the target; None if the detector finds its clouds."""
    if mask.file is None:
        return None

    @contextmanager
    def opened() -> Iterator[Pixels]:
        assert mask.file is not None
        with open_mask(mask.file, target.file, mask.rule) as cloud:
            cloud.warn(date.path)
            yield cloud

    return opened


def _check_paths(target: Scene, dates: Sequence[str]) -> None:
    """Refuse the target, and a date named twice."""
    taken = {target.path.resolve(): "the scene itself: leave it out of --date"}
    for given in dates:
        path = split_date(given)[0].resolve()
        if path in taken:
            raise UserError(f"{redacted(given)}: is {taken[path]}")
        taken[path] = "named twice: leave one out"


def tags_of_scene(scene: Scene) -> tuple[float, float]:
    """Return scale and offset of a scene, as its file has them."""
    return scene.file.scales[scene.indexes[0] - 1], scene.file.offsets[scene.indexes[0] - 1]
