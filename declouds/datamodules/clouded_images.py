"""Simulated clouds over your own clear images: pairs to train on where no cloudy image has a clear twin."""

import functools
import glob
import hashlib
import logging
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from declouds.argument_kinds import check_arguments
from declouds.datamodules.clear_images import clear_images, looks_cloudy, split_images, strip_of
from declouds.datamodules.downsample import any_of, downsample
from declouds.datamodules.file_pairs import content_of
from declouds.datamodules.pair_data_module import PairDataModule
from declouds.datamodules.pair_dataset import Arrays, PairDataset, pairs_of
from declouds.datamodules.pair_units import PairUnits
from declouds.datamodules.pairs import PARTS, check_same_bands, images_in, read_header, read_mask, read_with_gaps
from declouds.datamodules.splits import split_name
from declouds.errors import UserError, some
from declouds.image_io import Place
from declouds.nodata import fill_nodata
from declouds.registry import DATAMODULES
from declouds.simulation.cloud_kinds import SHARES, SHARES_WITH_MASKS, check_shares, draw_clouds
from declouds.simulation.sensor import (
    as_another_sensor,
    as_false_colour,
    as_flat,
    as_reflectance,
    end_of_range,
    white_of,
)
from declouds.simulation.thick_shapes import BRIGHTNESS, body_of_mask
from declouds.units import is_outside
from declouds.value_range import ValueRange
from declouds.wavelengths import wavelengths_of

TRIES = 50  # places of a window before an image is given up for nodata
ENOUGH = 0.5  # share of valid pixels that a window has at least
SMALL_KEPT = 4096  # small images in memory: 200 MB at 64 pixels and 3 bands
DIM = (0.25, 0.55, 1.05)  # brightness of thick clouds over dark and over bright ground at least, and at most
PARALLAX = 3.0  # pixels, at most, of thick clouds between the first band and the last
LOOKED_AT = 100  # training images that are looked at for clouds of their own

logger = logging.getLogger("declouds")


class CloudedImagesDataset(PairDataset):
    """One part ('train', 'val', 'test') of `CloudedImages`, with the same arguments.

    ``dataset[index]`` has the clouds that belong to the name of the image; ``draw(index, seed)`` has others for each
    seed, at another place of a large image.
    """

    def __init__(
        self,
        root: str | Path | Sequence[str | Path],
        part: str = "train",
        split: str | Path | Mapping[str, Any] | None = None,
        bands: Sequence[str] | Mapping[str, int] | None = None,
        wavelengths: Sequence[float] | None = None,
        size: int = 256,
        upsample: bool = False,
        mosaic: float = 0.0,
        shares: Mapping[str, float] | None = None,
        thickness: Sequence[float] = (0.1, 2.0),
        false_colour: float = 0.0,
        cloud_masks: str | Path | None = None,
        other_sensors: float = 0.5,
        reflectance: float = 0.0,
        flat: float = 0.0,
        coarser: float = 0.25,
        val: float | None = 0.1,
        test: float | None = 0.1,
        val_seed: int = 0,
        strips: bool = False,
        seed: int = 0,
        value_range: ValueRange | Sequence[float] | None = None,
        scale: float | None = None,
        offset: float | None = None,
        cache: bool = True,
    ) -> None:
        shown = dict(
            **dict(false_colour=false_colour, other_sensors=other_sensors, reflectance=reflectance),
            **dict(flat=flat, coarser=coarser),
        )
        _check_ranges(size, thickness, mosaic=mosaic, **shown)
        roots = [Path(root)] if isinstance(root, str | Path) else [Path(folder) for folder in root]
        if strips:
            _check_strips(split, val, test)
            images, self.band_names = clear_images(roots, bands)
            parts = {name: images for name, share in zip(PARTS, (1, val, test), strict=True) if share}
        else:
            parts, self.band_names = split_images(roots, bands, split, val, test, val_seed)
        self.wavelengths = band_wavelengths(self.band_names, wavelengths)
        self.cloud_masks = [] if cloud_masks is None else _mask_files(cloud_masks)
        self.shares = dict(shares or (SHARES_WITH_MASKS if self.cloud_masks else SHARES))
        check_shares(self.shares, bool(self.cloud_masks))
        self.images = pairs_of(parts, part)
        self.headers = [read_header(image) for image in self.images]
        check_same_bands(self.images, self.headers)
        self.regions = [
            strip_of(header, part, val or 0, test or 0) if strips else (0, 0, header.height, header.width)
            for header in self.headers
        ]
        _check_sizes(self.images, self.regions, size, upsample)
        self.mosaic = mosaic
        self._small: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        self.image_units = PairUnits.of(self.images, self.headers, value_range, scale, offset)
        self.units = self.image_units.units
        self.has_gaps = any(header.has_gaps for header in self.headers)
        self.windows = [
            (image, cell)
            for image, (_, _, height, width) in enumerate(self.regions)
            for cell in range(max(1, height // size) * max(1, width // size))
        ]
        counts = np.bincount([image for image, _ in self.windows], minlength=len(self.images))
        names = [self.images[image].name + (f"@{cell}" if counts[image] > 1 else "") for image, cell in self.windows]
        dtype = np.dtype(self.headers[0].dtype if self.headers else "uint8")
        super().__init__(
            names,
            len(self.band_names),
            self.image_units.value_range,
            [(size, size)] * len(names),
            len(names) * size * size * (2 * len(self.band_names) * dtype.itemsize + 6),
            cache,
            self.image_units.stored_range,
        )
        self.part, self.size, self.seed, self.thickness = part, size, seed, (thickness[0], thickness[1])
        self.false_colour, self.other_sensors = false_colour, other_sensors
        self.reflectance, self.flat, self.coarser = reflectance, flat, coarser

    def load(self, index: int) -> Arrays:
        """Return one image under the clouds of its name, in stored units."""
        name = f"{self.seed} {self.names[index]}".encode()
        rng = np.random.default_rng(list(hashlib.sha256(name).digest()))
        image, cell = self.windows[index]
        columns = max(1, self.regions[image][3] // self.size)
        return self._under_clouds(*self._window(image, rng, cell=divmod(cell, columns)), rng)

    def draw(self, index: int, seed: int) -> dict[str, Any]:
        """Return one image under the clouds of a seed, as a sample in [-1, 1]; the same for the same seed.

        The window lies anywhere in the image, at full or half resolution, and may look as by another sensor.

        Raises:
            UserError: its pixels are unreadable or unusable.
        """
        rng = np.random.default_rng([self.seed, seed])
        image, _ = self.windows[index]
        if min(self.regions[image][2:]) < self.size and rng.random() < self.mosaic:
            clear, valid = self._mosaic(rng)
        else:
            half = min(self.regions[image][2:]) >= 2 * self.size and rng.random() < self.coarser
            clear, valid = self._window(image, rng, reduce=2 if half else 1)
        return self.as_sample(
            self._under_clouds(
                clear, valid, rng, self.other_sensors, self.reflectance, self.flat, dim=True, parallax=PARALLAX
            ),
            self.names[index],
        )

    def content(self) -> str:
        """Return a SHA-256 of names, and of size, start, middle and end of each file and mask."""
        images = [(image.name, [image.clear[0].path]) for image in self.images]
        return content_of([*images, *((path.name, [path]) for path in self.cloud_masks)])

    def looking_cloudy(self) -> list[str]:
        """Return the names of images that look cloudy already, of up to `LOOKED_AT` from the whole list."""
        chosen = np.unique(np.linspace(0, len(self.images) - 1, min(LOOKED_AT, len(self.images))).astype(int))
        rng = np.random.default_rng(0)
        windows = ((self.images[image].name, self._window(image, rng)[0]) for image in chosen)
        return [name for name, window in windows if looks_cloudy(window, self.wavelengths)]

    def _under_clouds(
        self,
        clear: np.ndarray,
        valid: np.ndarray,
        rng: np.random.Generator,
        other_sensors: float = 0.0,
        reflectance: float = 0.0,
        flat: float = 0.0,
        dim: bool = False,
        parallax: float = 0.0,
    ) -> Arrays:
        """Lay clouds over an image in [0, 1], and return both in stored units, rounded as the file's type rounds."""
        other = rng.random() < other_sensors
        if other:
            clear = as_another_sensor(clear, rng)
        wavelengths = self.wavelengths
        if rng.random() < self.false_colour:
            clear, wavelengths = as_false_colour(clear, rng)
        dark = rng.random() < reflectance
        if dark:
            clear = as_reflectance(clear, rng, wavelengths)
        elif rng.random() < flat:  # not both: `end_of_range` would make all flat, clear ground white
            clear = as_flat(clear, rng)
        body = None
        if self.cloud_masks:
            path = self.cloud_masks[int(rng.integers(len(self.cloud_masks)))]
            body = partial(_body_of, path)
        apart = rng.uniform(0, parallax) if parallax else 0.0
        cloudy, mask, thickness = draw_clouds(
            clear, rng, wavelengths, self.shares, self.thickness, body, dim_over(clear) if dim else BRIGHTNESS, apart
        )
        if other or dark:
            bands, height, width = clear.shape
            white = white_of(bands, height, width, rng)
            cloudy, clear = cloudy * white, clear * white
        if dark:
            top = end_of_range(cloudy, rng)
            cloudy, clear = (np.minimum(image / top, 1) for image in (cloudy, clear))
        stored = [self.stored_range.from_model(2 * image - 1, self.headers[0].dtype) for image in (cloudy, clear)]
        return Arrays(stored[0], stored[1], mask[None], valid[None] if self.has_gaps else None, thickness[None])

    def _window(
        self, image: int, rng: np.random.Generator, cell: tuple[int, int] | None = None, reduce: int = 1
    ) -> tuple[np.ndarray, np.ndarray]:
        """Read a window: the cell of a grid if there is one and it has data, else a random place with data.

        Shapes: (C, size, size) float32 in [0, 1], (size, size) bool.
        """
        (first_row, first_column, *lengths), path = self.regions[image], self.images[image].clear[0].path
        side = [min(self.size * reduce, length) for length in lengths]
        for attempt in range(TRIES):
            if cell is not None and attempt == 0:
                top, left = cell[0] * self.size, cell[1] * self.size
            else:
                top, left = (
                    int(rng.integers(0, length - part + 1)) for length, part in zip(lengths, side, strict=True)
                )
            values, valid = self._read(image, (first_row + top, first_column + left, side[0], side[1]))
            if valid.mean() >= ENOUGH:
                return self._of_size(fill_nodata(values, valid), valid, rng, reduce)
        raise UserError(
            f"{path}: of {TRIES} windows of {side[0]}x{side[1]} pixels none has data in half of them: remove the image"
        )

    def _mosaic(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Lay small images side by side, drawn at random and turned. Shapes: as `_window`.

        The seams lie elsewhere each time: a network would draw those of fixed places into what it makes up.
        """
        small = [image for image, (*_, height, width) in enumerate(self.regions) if min(height, width) < self.size]
        side = min(min(self.regions[image][2:]) for image in small)
        count = -(-self.size // side) + 1
        clear = np.empty((len(self.band_names), count * side, count * side), np.float32)
        valid = np.empty((count * side, count * side), bool)
        for row, column in product(range(0, count * side, side), repeat=2):
            values, known = self._read_small(small[int(rng.integers(len(small)))], side)
            turns, place = int(rng.integers(4)), np.s_[row : row + side, column : column + side]
            clear[:, *place], valid[place] = np.rot90(values, turns, (1, 2)), np.rot90(known, turns)
        top, left = (int(rng.integers(count * side - self.size + 1)) for _ in range(2))
        cut = np.s_[..., top : top + self.size, left : left + self.size]
        return clear[cut], valid[cut]

    def _read_small(self, image: int, side: int) -> tuple[np.ndarray, np.ndarray]:
        """Read the corner of a small image, gaps filled; kept in memory, since decoding takes most of the time."""
        if image not in self._small:
            first_row, first_column, *_ = self.regions[image]
            values, valid = self._read(image, (first_row, first_column, side, side))
            if len(self._small) >= SMALL_KEPT:
                self._small.pop(next(iter(self._small)))
            self._small[image] = fill_nodata(values, valid), valid
        return self._small[image]

    def _read(self, image: int, place: Place) -> tuple[np.ndarray, np.ndarray]:
        """Read a window of an image as [0, 1], and its valid pixels."""
        files, stored = self.images[image].clear, self.stored_range
        values, valid = read_with_gaps(files, stored, place)
        known = values[:, valid]
        if known.size and is_outside(known, stored):
            raise UserError(
                f"{files[0].path}: values {known.min():g} to {known.max():g}{self.units.meaning(known)} lie outside "
                f"value_range ({self.value_range}): give the value range of this sensor, or scale and offset"
            )
        return (stored.to_model(values) + 1) / 2, valid

    def _of_size(
        self, values: np.ndarray, valid: np.ndarray, rng: np.random.Generator, reduce: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Bring a window to its size: a large one is averaged, a small one enlarged and cut."""
        if min(values.shape[-2:]) < self.size:
            enlarged = tuple(max(self.size, round(side * self.size / min(valid.shape))) for side in valid.shape)
            image = F.interpolate(torch.from_numpy(values)[None], size=enlarged, mode="bicubic")[0]
            values = image.numpy().clip(0, 1)
            rows, columns = (np.arange(new) * old // new for new, old in zip(enlarged, valid.shape, strict=True))
            valid = valid[rows][:, columns]
            top, left = (int(rng.integers(0, side - self.size + 1)) for side in enlarged)
            cut = np.s_[..., top : top + self.size, left : left + self.size]
            return values[cut], valid[cut]
        values = downsample(torch.from_numpy(values), reduce).numpy().clip(0, 1)
        return values, ~any_of(torch.from_numpy(~valid)[None], reduce)[0].numpy()


@DATAMODULES.register_module()
class CloudedImages(PairDataModule):
    """Simulated clouds over clear images of your own: every image below ``root``, folders or files; any size.

    ``bands`` names the bands to take, in order, such as ("nir", "red", "green"), or says their numbers where the files
    have no names, as dict(red=4, green=3, blue=2); by default those that the files name, or red, green and blue. Each
    needs a wavelength: known by name, or given as ``wavelengths`` in micrometres. Samples
    are windows of ``size`` pixels square; a smaller image is refused, or with ``upsample`` enlarged (bicubic).
    ``mosaic`` is the share of small images that training lays side by side instead, as sharp as they are; a model that
    sees nothing else takes ground of one kind for veiled.

    Training draws new clouds, and in large images a new place, at each position of the stream of samples; validation
    and test samples have the clouds of their name and ``seed``. For ``shares`` of the kinds of clouds and ``thickness``
    of thin ones see `draw_clouds`; ``false_colour`` is the share of samples shown in other bands (`as_false_colour`).
    ``cloud_masks`` is a folder of rasters, or a pattern such as ``masks/*_mask.tif``, in whose shape (where above 0)
    thick clouds are cut. ``other_sensors`` is the share of training samples in other contrast, colour and sharpness
    (`as_another_sensor`), ``reflectance`` the share whose ground is as dark beside clouds as in reflectances
    (`as_reflectance`), ``flat`` the share of the others in nearly one colour (`as_flat`), ``coarser`` the share at half
    resolution, where the image is large enough.

    ``test`` and ``val`` are fractions of the images, held out by a hash of ``val_seed`` and name; None holds out none.
    ``split`` is a split file instead, or 'folders' for ``root/train``, ``root/test`` and ``root/val``. With ``strips``
    the fractions are strips at the end of the longer side of every image, where images are few or show one place.
    Brightness 1 is the high end of ``value_range``; for that, ``scale`` and ``offset`` see `PairedFolder`. ``cache``
    keeps validation and test samples in memory.

    Raises:
        UserError: at ``setup``: no image, bands without a name or wavelength, images that are too small or differ in
            bands or type, a share or range that is none, or a split that does not fit.
    """

    places: tuple[str, ...] = (*PairDataModule.places, "cloud_masks")
    takes_files = True

    def __init__(
        self,
        root: str | Path | Sequence[str | Path],
        split: str | Path | Mapping[str, Any] | None = None,
        batch_size: int = 1,
        num_workers: int = 0,
        **arguments: Any,
    ) -> None:
        name = "held out by name" if split is None else split_name(split)
        name = "strips" if arguments.get("strips") else name
        super().__init__(
            CloudedImagesDataset, batch_size, num_workers, split_name=name, root=root, split=split, **arguments
        )
        self.band_names = tuple(arguments.get("bands") or ())

    def setup(self, stage: str | None = None) -> None:
        """Build the data sets of a stage; warn of training images that look cloudy already."""
        super().setup(stage)
        datasets: dict[str, Any] = self._datasets()
        self.band_names = self._any_dataset().band_names  # type: ignore[attr-defined]
        if "train" in datasets and (cloudy := datasets["train"].looking_cloudy()):
            logger.warning(
                "images that should be clear are bright and white over a quarter, perhaps with cloud or snow: %s: look "
                "at them, and leave out what is cloudy",
                some(cloudy),
            )


def dim_over(clear: np.ndarray) -> tuple[float, float]:
    """Return how bright thick clouds over an image may be: somewhat brighter than its bright ground, up to white.

    Light leaves small clouds by their sides, and a low sun lights all less.

    Shapes: (C, H, W).
    Units: [0, 1].
    """
    darkest, brightest, most = DIM
    ground = float(np.percentile(clear[:, ::4, ::4], 90))
    return float(np.clip(1.2 * ground, darkest, brightest)), most


def band_wavelengths(names: Sequence[str], given: Sequence[float] | None) -> tuple[float, ...]:
    """Return the wavelength of each band in micrometres, as given or by its name.

    Raises:
        UserError: not one for each band, or a name that is unknown.
    """
    if given is None:
        return wavelengths_of(names)
    if len(given) != len(names) or not all(0.3 <= wavelength <= 3 for wavelength in given):
        raise UserError(
            f"wavelengths={list(given)}: give one for each of the bands {', '.join(names)}, in micrometres (0.3 to 3)"
        )
    return tuple(float(wavelength) for wavelength in given)


def _mask_files(masks: str | Path) -> list[Path]:
    """Return the rasters of a folder, or those that fit a pattern.

    Raises:
        UserError: there are none.
    """
    if Path(masks).is_dir():
        return list(images_in(Path(masks)).values())
    found = [Path(path) for path in sorted(glob.glob(str(masks), recursive=True))]
    if not found:
        raise UserError(f"cloud_masks={str(masks)!r}: no such folder, and no file fits: check the path")
    return found


@functools.lru_cache(maxsize=64)
def _cloud_mask(path: Path) -> np.ndarray:
    return read_mask(path)[0] > 0


def _body_of(path: Path, rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    return body_of_mask(_cloud_mask(path), rng, height, width)


def _check_strips(split: Any, val: float | None, test: float | None) -> None:
    if split is not None or not 0 < (val or 0) + (test or 0) < 1:
        raise UserError(
            f"strips=True, split={split!r}, val={val}, test={test}: strips are fractions val and test of every image, "
            "together below 1, and no split: correct them"
        )


def _check_sizes(images: Sequence[Any], regions: Sequence[Place], size: int, upsample: bool) -> None:
    small = [image.name for image, place in zip(images, regions, strict=True) if min(place[2:]) < size]
    if small and not upsample:
        raise UserError(
            f"{len(small)} images (or their strips) are smaller than size={size}: {some(small)}: set a smaller size, "
            "or upsample=True to enlarge them"
        )


def _check_ranges(size: int, thickness: Sequence[float], **shares: float) -> None:
    check_arguments(CloudedImagesDataset, dict(size=size, thickness=thickness))
    if size < 8:
        raise UserError(f"size={size}: give at least 8 pixels")
    if len(thickness) != 2 or not 0 < thickness[0] <= thickness[1]:
        raise UserError(f"thickness={thickness}: give the lowest and the highest optical depth, both above 0")
    for name, share in shares.items():
        if not 0 <= share <= 1:
            raise UserError(f"{name}={share}: give a share between 0 and 1")
