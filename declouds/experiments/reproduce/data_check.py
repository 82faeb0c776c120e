"""Is the data set of a row on this machine, and is it the very one?"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.config import Config

from declouds.datamodules.file_pairs import FilePairDataset
from declouds.datamodules.pairs import Pair, natural_order, read_bands
from declouds.datamodules.splits import digest
from declouds.errors import UserError
from declouds.experiments.reproduce.table import DataSet, Part, Row
from declouds.progress import tracked
from declouds.registry import DATAMODULES
from declouds.training.settings import plain

READY, TO_TRAIN, MISSING, WRONG = "ready", "to train", "missing", "wrong"


class Obstacle(Exception):
    """Something that a row needs is missing (``missing``), untrained (``to train``), or something else (``wrong``)."""

    def __init__(self, state: str, why: str) -> None:
        super().__init__(why)
        self.state, self.why = state, why


Track = Callable[[Sequence[Pair]], Iterable[Pair]]


def pixels_digest(pairs: Sequence[Pair], track: Track = iter) -> str:
    """Return the SHA-256 of the pixels of ``pairs``, cloudy then clear, in the natural order of their names.

    The values are those of the files, before any reduction; masks are left out, since the ``official`` protocol does
    not look at them. ``track`` may wrap the loop in a progress bar.

    Raises:
        UserError: a file is broken.
    """
    digest = hashlib.sha256()
    for pair in track(sorted(pairs, key=lambda pair: natural_order(pair.name))):
        for files in (pair.cloudy, pair.clear):
            digest.update(read_bands(files).tobytes())
    return digest.hexdigest()


Known = dict[tuple[Pair, ...], str]  # images -> digest of their pixels


class Data(NamedTuple):
    """The images of a row.

    Attributes:
        module: the data module, set up.
        images: of the part that is measured.
        found: part -> what its images are.
        unchecked: what nothing was recorded to check by, in words, or nothing.
    """

    module: Any
    images: FilePairDataset
    found: dict[str, Part]
    unchecked: str


def find_data(row: Row, data: DataSet, config: Config, root: Path, known: Known) -> Data:
    """Set up the data of ``config``, whose root is ``root`` already, and compare them with what the table says.

    The part that is measured is compared, and that which a run is trained on; ``known`` remembers, for other rows, what
    was read.

    Raises:
        Obstacle: there is no such folder, or it cannot be used; or its lists or pixels are others.
    """
    if not root.is_dir():
        raise Obstacle(MISSING, f"{root} is not there")
    try:
        module = DATAMODULES.build(config.datamodule)
        module.setup(None if row.run else "test" if row.part == "test" else "fit")
    except UserError as error:
        raise Obstacle(MISSING, f"{root} cannot be used: {error}") from error
    wanted = [row.part, *(["train"] if row.run and row.part != "train" else [])]
    found = {}
    for part in wanted:
        images = getattr(module, f"{part}_dataset", None)
        if not images:
            raise Obstacle(MISSING, f"{root} has no {part} images")
        found[part] = _compare(images, part, data.parts.get(part, Part()), root, known)
    unknown = [part for part in wanted if data.parts.get(part, Part()).pixels is None]
    unchecked = f"no digest of its {' and '.join(unknown)} images is recorded, so they were not checked"
    return Data(module, getattr(module, f"{row.part}_dataset"), found, unchecked if unknown else "")


def data_config(config: Config) -> dict[str, Any]:
    """Return what a config says of its data, but for where they lie."""
    return {key: value for key, value in plain(config.datamodule).items() if key != "root"}


def _compare(images: FilePairDataset, part: str, expected: Part, root: Path, known: Known) -> Part:
    names = digest(images.names)
    if expected.images not in (None, len(images)) or expected.names not in (None, names):
        counts = f"{len(images)} images instead of {expected.images}" if expected.images else f"{len(images)} images"
        raise Obstacle(
            WRONG,
            f"{root}: the list of {part} images is another one: {counts}, SHA-256 of the names {names} instead of "
            f"{expected.names or '(not recorded)'}",
        )
    try:
        if images.pairs not in known:
            known[images.pairs] = _read_pixels(images.pairs, f"{root}: {part}")
    except UserError as error:
        raise Obstacle(WRONG, str(error)) from error
    pixels = known[images.pairs]
    if expected.pixels not in (None, pixels):
        raise Obstacle(
            WRONG,
            f"{root}: has the names of the {part} images but other pixels: their SHA-256 is {pixels} instead of "
            f"{expected.pixels}",
        )
    return Part(len(images), names, pixels)


def _read_pixels(pairs: tuple[Pair, ...], title: str) -> str:
    return pixels_digest(pairs, lambda pairs: tracked(pairs, title))
