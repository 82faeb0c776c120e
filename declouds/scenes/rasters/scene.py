"""An open scene as one object: its file, the bands that a model takes, their units and nodata."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rasterio.io import DatasetReader

from declouds.errors import UserError
from declouds.nodata import is_opacity, valid_pixels
from declouds.scenes.rasters.bands import COLOURS, FurtherBand, choose_bands, further_bands, order_in_file, plain_name
from declouds.scenes.rasters.optical import check_optical
from declouds.scenes.rasters.scene_file import open_scene, read_window, transparency
from declouds.scenes.sampling.image import samples
from declouds.scenes.sampling.scene_range import check_given, find_range
from declouds.scenes.sampling.tiles import Window
from declouds.units import Units, check_units, choose_units
from declouds.value_range import ValueRange


@dataclass(frozen=True)
class Scene:
    """What a model sees of a scene.

    Args:
        file: the open file.
        path: as the user named it.
        indexes: numbers, from 1, of the bands that the model takes, in its order.
        order: places of the bands that are written, in that order: first those that the model clears are counted, which
            begin ``indexes``, then ``further``.
        stored_range: stored values that stand for -1 and 1.
        nodata: the value that means "no data".
        reflectance: stored values of reflectance 0 and 1 to a cloud detector; ``stored_range`` if not given.
        further: bands that are written too, and not seen by the model.
    """

    file: DatasetReader
    path: Path
    indexes: list[int]
    order: list[int]
    stored_range: ValueRange
    nodata: float | None
    reflectance: ValueRange | None = None
    further: tuple[FurtherBand, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.file.height, self.file.width

    @property
    def bands(self) -> int:
        """How many bands the model clears."""
        return len(self.order) - len(self.further)

    @property
    def written(self) -> list[int]:
        """Numbers of the bands that are written, in that order."""
        made = [*self.indexes[: self.bands], *(band.number for band in self.further)]
        return [made[place] for place in self.order]

    @property
    def cleared(self) -> list[int]:
        """Numbers of the bands that the model clears, in the order in which they are written."""
        return [self.indexes[place] for place in self.order if place < self.bands]

    @property
    def conditions(self) -> list[int]:
        """Numbers of the bands that the model takes and does not clear."""
        return self.indexes[self.bands :]

    @property
    def names(self) -> list[str]:
        """What the bands that the model clears are called, by name or number."""
        return [self.file.descriptions[index - 1] or str(index) for index in self.cleared]

    @property
    def left_out(self) -> int:
        """How many bands of the file, transparency aside, the result lacks."""
        return len(set(self.file.indexes) - {*self.indexes, *self.written} - set(transparency(self.file)))

    @property
    def dtype(self) -> np.dtype:
        """The type of the bands."""
        return np.dtype(self.file.dtypes[self.indexes[0] - 1])

    def read(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Return values as stored, and which pixels have data. Shapes: (in_bands, h, w), (h, w) bool.

        Raises:
            UserError: the file is damaged there.
        """
        values, masks = read_window(self.file, window, self.indexes, self.path)
        return values, valid_pixels(values, self.nodata, masks, self.stored_range)

    def valid(self, window: Window) -> np.ndarray:
        """Return which pixels have data. Shapes: (h, w) bool."""
        return self.read(window)[1]


@contextmanager
def scene_for(
    path: Path,
    value_range: ValueRange | None,
    in_bands: int,
    bands: int,
    band_names: Sequence[str] = (),
    asked: Sequence[str] | None = None,
    *,
    scale: float | None = None,
    offset: float | None = None,
    nodata: float | None = None,
    trained: Units | None = None,
    given: tuple[float, float] | None = None,
    further: bool = False,
) -> Iterator[Scene]:
    """Open a scene for a model, and check that the two go together.

    Args:
        path: of the scene, of any kind that `open_scene` knows.
        value_range: what the model was trained on; None if the scene has its own range, which is found in it.
        in_bands: bands that it takes.
        bands: bands that it makes, the first of those.
        band_names: what it calls its bands.
        asked: the bands to take, by number or name; with ``further`` they may be more.
        scale: model value = stored value * scale + offset; by default the file's own.
        offset: see ``scale``.
        nodata: the value that means "no data", in place of the file's own.
        trained: units of the training images, for advice.
        given: stored values that stand for -1 and 1, instead of what would be found.
        further: whether the scene has the bands too that a model of red, green and blue in any units does not take.

    Raises:
        UserError: see `open_scene`, `choose_bands`, `choose_units`, and `check_units`, or else `check_optical` and
            `find_range`; or a band's values contradict its mark as transparency.
    """
    with open_scene(path, asked) as file:
        if value_range is None and not asked and file.count <= in_bands:
            check_optical(file, file.indexes, path)  # a better reason than their number
        names = [plain_name(name) for name in band_names]
        further &= value_range is None and sorted(names) == sorted(COLOURS)
        indexes = choose_bands(file, asked[:in_bands] if asked and further else asked, band_names, in_bands, path)
        units = choose_units(path, [(file.scales[i - 1], file.offsets[i - 1]) for i in indexes], scale, offset)
        order = order_in_file(file, indexes[:bands], asked)
        missing = file.nodatavals[indexes[0] - 1] if nodata is None else nodata
        _check_transparency(file, path, indexes, bool(asked))
        if value_range is not None:
            check_given(given)
            scene = Scene(file, path, indexes, order, units.stored(value_range), missing)
            check_units(path, samples(scene.read, *scene.size), value_range, units, trained)
            yield scene
            return
        check_optical(file, indexes, path)

        def read(window: Window) -> tuple[np.ndarray, np.ndarray]:
            values, masks = read_window(file, window, indexes, path)
            return values, valid_pixels(values, missing, masks)

        found = find_range(path, read, file.height, file.width, units, given)
        others = further_bands(file, asked, indexes, indexes[names.index("red")], path) if further else ()
        if others:
            made = [*indexes, *(band.number for band in others)]
            order = list(range(len(made))) if asked else sorted(range(len(made)), key=lambda place: made[place])
        yield Scene(file, path, indexes, order, found.stored, missing, found.reflectance, others)


def _check_transparency(file: DatasetReader, path: Path, indexes: Sequence[int], asked: bool) -> None:
    """Refuse a measured band that would be taken for opacity, and opacity that would be taken for a measured band.

    Raises:
        UserError: as said; bands that were asked for are taken as they are.
    """
    for band in transparency(file):

        def read(window: Window, band: int = band) -> tuple[np.ndarray, np.ndarray]:
            values, _ = read_window(file, window, [band], path)
            return values, np.ones(values.shape[1:], bool)

        sample = samples(read, file.height, file.width)
        if band not in indexes and not is_opacity(sample):
            raise UserError(
                f"{path}: band {band} is marked as transparency, and its values ({sample.min():g} to {sample.max():g}) "
                f"vary as those of a measured band: unmark it (gdal_translate -colorinterp_{band} undefined), or take "
                "it out"
            )
        if band in indexes and not asked and is_opacity(sample):
            raise UserError(
                f"{path}: band {band} is marked as transparency and holds that (mostly {sample.max():g}), and the "
                f"model takes {len(indexes)} image bands: give a scene that has them; if it is one, say so with --bands"
            )
