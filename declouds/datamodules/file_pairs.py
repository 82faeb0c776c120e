"""Pairs of image files: headers are checked at construction, pixels on reading."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from declouds.datamodules.downsample import any_of, downsample
from declouds.datamodules.pair_dataset import Arrays, PairDataset
from declouds.datamodules.pairs import (
    BandFile,
    Pair,
    PairHeader,
    check_same_bands,
    read_header,
    read_with_gaps,
)
from declouds.errors import UserError, some
from declouds.image_io import read_image
from declouds.nodata import fill_nodata
from declouds.units import Units, can_hold, choose_units, is_dark, is_outside
from declouds.value_range import ValueRange

SAMPLE = 4096  # bytes hashed at each of three positions of a file
DECODING = 1  # to be raised when `load` gives other pixels for the same files


class FilePairDataset(PairDataset):
    """Pairs of image files.

    ``reduce=2`` halves height and width (512 -> 256, the size of the published experiments): see `downsample`. A mask
    pixel is cloud if its value is above ``mask_above``; a downsampled one if any of its pixels is. Model value = stored
    value * ``scale`` + ``offset``, by default from the files. Nodata pixels (rules: `declouds.nodata`) take the values
    of the nearest valid one; a downsampled pixel is valid if all of its pixels are. For ``cache`` see `PairDataset`.

    Raises:
        UserError: at construction, from headers: pairs that disagree, a data type without a known value range or that
            cannot hold it, a size that ``reduce`` does not divide. On reading a pair: a damaged file, no valid pixel,
            values outside the value range.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        value_range: ValueRange | Sequence[float] | None = None,
        reduce: int = 1,
        mask_above: float = 0,
        cache: bool | str | Path = True,
        scale: float | None = None,
        offset: float | None = None,
    ) -> None:
        headers = [read_header(pair) for pair in pairs]
        check_same_bands(pairs, headers)
        _check_reducible(pairs, headers, reduce)
        self.units = _units_of(pairs, headers, scale, offset)
        known = _range_for(value_range, headers, self.units)
        if headers and not self.units.origin and not can_hold(np.dtype(headers[0].dtype), known):
            raise UserError(
                f"{pairs[0].cloudy[0].path}: is {headers[0].dtype}, which cannot hold value_range {known}: give the "
                "range of this sensor, or scale and offset"
            )
        bytes_per_value = np.dtype(headers[0].dtype).itemsize if headers and reduce == 1 else 4
        sizes = [(header.height // reduce, header.width // reduce) for header in headers]
        pixels = sum(height * width for height, width in sizes)
        bands = headers[0].bands if headers else 0
        self.has_gaps = any(header.has_gaps for header in headers)
        super().__init__(
            [pair.name for pair in pairs],
            bands,
            known,
            sizes,
            size_in_memory=pixels * (2 * bands * bytes_per_value + 1 + self.has_gaps),
            cache=cache,
            stored_range=self.units.stored(known),
        )
        self.pairs = tuple(pairs)
        self.reduce = reduce
        self.mask_above = mask_above

    def content(self) -> str:
        """Return a SHA-256 of names, and of size, start, middle and end of each file, independent of its path."""
        digest = hashlib.sha256()
        for pair in self.pairs:
            digest.update(pair.name.encode())
            for path in _paths_of(pair):
                with path.open("rb") as data:
                    size = path.stat().st_size
                    for start in (0, size // 2, max(size - SAMPLE, 0)):
                        data.seek(start)
                        digest.update(b"%d %d " % (size, start) + data.read(SAMPLE))
        return digest.hexdigest()

    def decoded_key(self, index: int) -> str | None:
        """Return a digest of what the pixels depend on: path, size and time of the files, and the arguments."""
        if type(self).load is not FilePairDataset.load:
            return None  # who knows what the pixels of a plugin depend on
        pair = self.pairs[index]
        beside = (path.with_name(f"{path.name}.msk") for path in _paths_of(pair))
        files = [*_paths_of(pair), *(path for path in beside if path.exists())]
        try:
            stats = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
        except OSError:
            return None  # `load` says what is wrong
        bands = [file.bands for file in pair.cloudy + pair.clear]
        units = (self.value_range, self.stored_range, self.units)
        arguments = (bands, self.reduce, self.mask_above, self.has_gaps, *units)
        return hashlib.sha256(repr((DECODING, stats, arguments)).encode()).hexdigest()[:32]

    def load(self, index: int) -> Arrays:
        """Read one pair from its files, in sensor units."""
        pair = self.pairs[index]
        cloudy, cloudy_valid = self._read(pair.cloudy)
        clear, clear_valid = self._read(pair.clear)
        mask = None if pair.mask is None else (read_image(pair.mask, palette=True)[:1] > self.mask_above)
        valid = (cloudy_valid & clear_valid)[None] if self.has_gaps else None
        if self.reduce == 1:
            return Arrays(cloudy, clear, mask, valid)
        return Arrays(
            _downsampled(cloudy, self.reduce),
            _downsampled(clear, self.reduce),
            None if mask is None else any_of(torch.from_numpy(mask), self.reduce).numpy(),
            None if valid is None else ~any_of(torch.from_numpy(~valid), self.reduce).numpy(),
        )

    def _read(self, files: Sequence[BandFile]) -> tuple[np.ndarray, np.ndarray]:
        """Return an image with nodata filled, and its mask of valid pixels."""
        values, valid = read_with_gaps(files, self.stored_range)
        known, stored = values[:, valid], self.stored_range
        known_units = self.units.origin or values.dtype.kind == "f"  # integers of unknown units may be that dark
        if is_outside(known, stored) or (known_units and is_dark(known, stored)):
            raise UserError(
                f"{files[0].path}: all values ({known.min():g} to {known.max():g}){self.units.meaning(known)} or "
                f"99 % of them lie outside value_range ({self.value_range.low:g}, {self.value_range.high:g}), or at "
                "its dark end: give the value range of this sensor, or scale and offset"
            )
        return fill_nodata(values, valid), valid


def _paths_of(pair: Pair) -> list[Path]:
    return [*(file.path for file in (*pair.cloudy, *pair.clear)), *([pair.mask] if pair.mask else [])]


def _downsampled(image: np.ndarray, factor: int) -> np.ndarray:
    return downsample(torch.from_numpy(image.astype(np.float32)), factor).numpy()


def _units_of(pairs: Sequence[Pair], headers: Sequence[PairHeader], scale: float | None, offset: float | None) -> Units:
    if not pairs:
        return Units()
    tags = frozenset().union(*(header.units for header in headers))
    return choose_units(pairs[0].cloudy[0].path, tags, scale, offset, "scale and offset of the data module")


def _range_for(
    value_range: ValueRange | Sequence[float] | None, headers: Sequence[PairHeader], units: Units
) -> ValueRange:
    if isinstance(value_range, ValueRange):
        return value_range
    if value_range is None and units.origin:
        raise UserError(
            f"stored values are scaled ({units}), but value_range is not set: give value_range=(low, high) in these "
            "units, or scale=1 to use the stored values"
        )
    if value_range is None:
        return ValueRange.of_dtype(headers[0].dtype if headers else "uint8")
    if len(value_range) != 2:
        raise UserError(f"value_range={value_range}: give two sensor values, (low, high)")
    return ValueRange(float(value_range[0]), float(value_range[1]))


def _check_reducible(pairs: Sequence[Pair], headers: Sequence[PairHeader], reduce: int) -> None:
    if reduce < 1:
        raise UserError(f"reduce must be at least 1, got {reduce}")
    odd = [pair.name for pair, h in zip(pairs, headers, strict=True) if h.height % reduce or h.width % reduce]
    if odd:
        raise UserError(
            f"reduce={reduce} does not divide the size of {some(odd)}: give another factor or crop the images"
        )
