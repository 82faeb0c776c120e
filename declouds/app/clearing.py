"""One job of the page: uploads in; the cleared scene, its cloud mask and what the page shows of them out."""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from declouds.app.asked import Asked
from declouds.app.pictures import clouds_on, halves, maps_of, write_png
from declouds.errors import UserError
from declouds.scenes.api import dates_alone, remover_of
from declouds.scenes.clear import Remover, SceneReport, clear_scene
from declouds.scenes.options import SceneOptions
from declouds.scenes.products import Products
from declouds.scenes.rasters.picture import is_picture
from declouds.scenes.sampling.loop import Progress
from declouds.scenes.write_mask import write_mask


@dataclass(frozen=True)
class Cleared:
    """What came out, in files of the folder of the job.

    Args:
        before: the picture of the scene.
        after: that of the result, in the same colours.
        clouds: that of the scene with its clouds in one colour; None if everything was cleared.
        maps: those of the maps of quality, each with its caption.
        facts: what was done, by what it is about.
        notes: what declouds warned of.
        files: the result, and what else there is to download.
    """

    before: Path
    after: Path
    clouds: Path | None
    maps: Sequence[tuple[Path, str]]
    facts: Mapping[str, str]
    notes: Sequence[str]
    files: Sequence[Path]


def clear(asked: Asked, uploads: Path, folder: Path, device: str, progress: Progress) -> Cleared:
    """Clear a scene as `declouds predict` does, and write its mask as `declouds mask` does.

    Args:
        asked: what the user asks for.
        uploads: the folder that uploads are in.
        folder: an empty folder, which takes all files.
        device: where the model runs.
        progress: see `clear_scene`.

    Raises:
        UserError: see `Asked.taken`, `write_mask` and `clear_scene`; the message has no path of this machine.
    """
    try:
        with _warnings() as notes:
            scene, options = asked.taken(uploads, folder)
            removing = dates_alone(scene, options) if asked.alone else remover_of(asked.checkpoint, options, device)
            with removing as remover:
                cleared = _cleared(remover, scene, folder, options, progress)
    except UserError as error:
        raise UserError(_without(folder, str(error))) from error
    facts = {name: _without(folder, text) for name, text in cleared.facts.items()}
    said_once = dict.fromkeys(_without(folder, note) for note in notes)  # a mask is read for the mask and the scene
    return replace(cleared, facts=facts, notes=list(said_once))


@contextmanager
def _warnings() -> Iterator[list[str]]:
    """Give the list of what declouds warns of inside the context."""
    found: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: found.append(record.getMessage())  # type: ignore[method-assign]
    log = logging.getLogger("declouds")
    log.addHandler(handler)
    try:
        yield found
    finally:
        log.removeHandler(handler)


def _without(folder: Path, text: str) -> str:
    """Return a text with the names of files in a folder, or in one of its folders, in place of their paths."""
    return re.sub(rf"{re.escape(str(folder))}/(?:\w+/)?", "", text)


def _cleared(remover: Remover, scene: Path, folder: Path, options: SceneOptions, progress: Progress) -> Cleared:
    """Find the clouds, clear the scene, and make the pictures."""
    results, shown = folder / "results", folder / "shown"
    results.mkdir()
    shown.mkdir()
    destination = results / f"{scene.stem}_clear{'.png' if is_picture(scene) else '.tif'}"
    beside = Products(destination, options).beside
    mask, clouds = results / f"{scene.stem}_clouds.tif", "everything is taken for cloud"
    if not options.clears_all:
        found = write_mask(remover, scene, mask, options, progress)
        clouds = f"{100 * found.cloudy:.3g} % of the pixels with data, by {found.mask}"
    report = clear_scene(remover, scene, destination, options, progress=progress)
    before, after = halves(beside["picture"])
    return Cleared(
        before=write_png(shown / "before.png", before),
        after=write_png(shown / "after.png", after),
        clouds=write_png(shown / "clouds.png", clouds_on(before, mask)) if mask.exists() else None,
        maps=[
            (write_png(shown / f"map{number}.png", picture), caption)
            for number, (picture, caption) in enumerate(maps_of(beside["quality"]) if options.quality else ())
        ],
        facts=dict(_facts(report, remover, clouds)),
        notes=(),
        files=[path for path in (destination, mask, *beside.values()) if path.exists()],
    )


def _facts(report: SceneReport, remover: Remover, clouds: str) -> Iterator[tuple[str, str]]:
    """Yield what was done, by what it is about."""
    tally = report.tally
    yield "size", f"{report.width} x {report.height} pixels"
    yield "time", f"{report.seconds:.1f} s"
    if remover.passes:
        yield "model", f"{remover.name}, which comes with declouds" if remover.name else "the weights chosen"
    yield "clouds", clouds
    yield "cleared", f"{tally.pixels['cleared']:,} pixels"
    if report.dates:
        by_model = f"{tally.pixels['cleared'] - tally.from_dates:,} cleared by the model"
        rest = by_model if remover.passes else f"{tally.left:,} stay cloudy"
        yield "dates", f"{tally.from_dates:,} pixels filled from {report.dates}; {rest}"
    if report.value_range is not None:
        yield "values", report.value_range
    if report.further is not None:
        kinds = {"by the model": "by_model", "by their wavelengths": "by_physics", "left as they are": "left"}
        groups = {words: report.further[kind] for words, kind in kinds.items()}
        yield "bands", "; ".join(f"{', '.join(names)} {words}" for words, names in groups.items() if names)
    elif report.left_out:
        yield "bands", f"{', '.join(report.bands)} are cleared and written, {report.left_out} others are left out"
