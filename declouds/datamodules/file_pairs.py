"""Pairs of image files: headers are checked at construction, pixels on reading."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from declouds.datamodules.downsample import any_of, downsample
from declouds.datamodules.pair_dataset import Arrays, PairDataset
from declouds.datamodules.pair_sources import PairSources, with_flags
from declouds.datamodules.pair_units import PairUnits
from declouds.datamodules.pairs import (
    Pair,
    PairHeader,
    check_same_bands,
    read_header,
    read_mask,
)
from declouds.errors import UserError, some
from declouds.nodata import fill_nodata
from declouds.registry import CLOUD_DETECTORS
from declouds.sources import Source, channels_of
from declouds.value_range import ValueRange

SAMPLE = 4096  # bytes hashed at each of three positions of a file
DECODING = 1  # to be raised when `load` gives other pixels for the same files


class FilePairDataset(PairDataset):
    """Pairs of image files.

    ``reduce=2`` halves height and width (512 -> 256, the size of the published experiments): see `downsample`. A mask
    pixel is cloud if its value is above ``mask_above``; a downsampled one if any of its pixels is. Model value = stored
    value * ``scale`` + ``offset``, by default from the files. Nodata pixels (rules: `declouds.nodata`) take the values
    of the nearest valid one; a downsampled pixel is valid if all of its pixels are. For ``cache`` see `PairDataset`.

    ``sources`` describe the files in `Pair.sources`. Those that ``drop`` names may be missing, and are left out of that
    share of the samples that `draw` gives, so that one model learns to work with and without them.

    ``cloud_detector`` is the config of a detector that makes the masks of pairs without one from their cloudy images,
    by ``band_names``.

    Raises:
        UserError: at construction, from headers: pairs that disagree, a data type without a known value range or that
            cannot hold it, a size that ``reduce`` does not divide. On reading a pair: a damaged file, no valid pixel, a
            mask that is none (`read_mask`), values outside the value range.
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
        sources: Sequence[Source] = (),
        drop: Mapping[str, float] | None = None,
        cloud_detector: Mapping[str, Any] | None = None,
        band_names: Sequence[str] = (),
    ) -> None:
        self.drop = dict(drop or {})
        self.sources = with_flags(sources, self.drop)
        headers = [read_header(pair) for pair in pairs]
        check_same_bands(pairs, headers)
        _check_reducible(pairs, headers, reduce)
        self.pair_units = PairUnits.of(pairs, headers, value_range, scale, offset)
        self.units = self.pair_units.units
        self.pair_sources = PairSources.of(pairs, headers, self.sources, self.units)
        bytes_per_value = np.dtype(headers[0].dtype).itemsize if headers and reduce == 1 else 4
        sizes = [(header.height // reduce, header.width // reduce) for header in headers]
        pixels = sum(height * width for height, width in sizes)
        bands = headers[0].bands if headers else 0
        self.has_gaps = any(header.has_gaps for header in headers)
        super().__init__(
            [pair.name for pair in pairs],
            bands,
            self.pair_units.value_range,
            sizes,
            size_in_memory=pixels * (2 * bands * bytes_per_value + 1 + self.has_gaps + 4 * self.pair_sources.channels),
            cache=cache,
            stored_range=self.pair_units.stored_range,
        )
        self.pairs = tuple(pairs)
        self.reduce = reduce
        self.mask_above = mask_above
        self.cloud_detector = dict(cloud_detector or {})
        self._detect = CLOUD_DETECTORS.build(self.cloud_detector, band_names=band_names) if cloud_detector else None

    def content(self) -> str:
        """Return a SHA-256 of names, and of size, start, middle and end of each file, independent of its path."""
        return content_of((pair.name, _paths_of(pair)) for pair in self.pairs)

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
        arguments: tuple[Any, ...] = (bands, self.reduce, self.mask_above, self.has_gaps, *units)
        if self.sources or self.cloud_detector:
            arguments = (*arguments, self.pair_sources, pair.sources, sorted(self.cloud_detector.items()))
        return hashlib.sha256(repr((DECODING, stats, arguments)).encode()).hexdigest()[:32]

    def load(self, index: int) -> Arrays:
        """Read one pair from its files, in sensor units."""
        pair = self.pairs[index]
        cloudy, cloudy_valid = self.pair_units.read(pair.cloudy)
        clear, clear_valid = self.pair_units.read(pair.clear)
        cloudy, clear = fill_nodata(cloudy, cloudy_valid), fill_nodata(clear, clear_valid)
        mask = self._mask(pair, cloudy, cloudy_valid)
        valid = (cloudy_valid & clear_valid)[None] if self.has_gaps else None
        sources = self.pair_sources.read(pair, *cloudy.shape[1:]) if self.sources else None
        if self.reduce == 1:
            return Arrays(cloudy, clear, mask, valid, sources=sources)
        return Arrays(
            _downsampled(cloudy, self.reduce),
            _downsampled(clear, self.reduce),
            None if mask is None else any_of(torch.from_numpy(mask), self.reduce).numpy(),
            None if valid is None else ~any_of(torch.from_numpy(~valid), self.reduce).numpy(),
            sources=None if sources is None else _downsampled(sources, self.reduce).clip(-1, 1),
        )

    def _mask(self, pair: Pair, cloudy: np.ndarray, valid: np.ndarray) -> np.ndarray | None:
        """Return the cloud mask of a pair, from its file or the detector. Shapes: (1, H, W) bool."""
        if pair.mask is not None:
            return read_mask(pair.mask) > self.mask_above
        return None if self._detect is None else (self._detect(self.stored_range.to_model(cloudy)) & valid)[None]

    def draw(self, index: int, seed: int) -> dict[str, Any]:
        """Return a sample for training, without some of its optional sources: see ``drop``."""
        sample = self[index]
        return sample | {"cloudy": _dropped(sample["cloudy"], self.sources, self.drop, seed)} if self.drop else sample


def content_of(named: Iterable[tuple[str, Iterable[Path]]]) -> str:
    """Return a SHA-256 of names, and of size, start, middle and end of the files of each, but not of their paths."""
    digest = hashlib.sha256()
    for name, paths in named:
        digest.update(name.encode())
        for path in paths:
            with path.open("rb") as data:
                size = path.stat().st_size
                for start in (0, size // 2, max(size - SAMPLE, 0)):
                    data.seek(start)
                    digest.update(b"%d %d " % (size, start) + data.read(SAMPLE))
    return digest.hexdigest()


def _dropped(cloudy: torch.Tensor, sources: Sequence[Source], drop: Mapping[str, float], seed: int) -> torch.Tensor:
    """Return an input without some of its optional sources, each left out on its own with its share of ``drop``.

    Args:
        cloudy: the input, whose last channels are the sources.
        sources: the further sources.
        drop: see `with_flags`.
        seed: of the draw.

    Shapes: (C, H, W) -> (C, H, W).
    """
    chance = dict(zip(drop, np.random.default_rng(seed).random(len(drop)), strict=True))
    places = channels_of(sources)
    first = len(cloudy) - sum(source.channels for source in sources)
    cloudy = cloudy.clone()
    for source in sources:
        if chance.get(source.name, 1.0) < drop.get(source.name, 0.0):
            missing = source.missing(*cloudy.shape[1:])
            cloudy[first:][places[source.name]] = torch.from_numpy(missing)
    return cloudy


def _paths_of(pair: Pair) -> list[Path]:
    files = (*pair.cloudy, *pair.clear, *pair.sources)
    return [*(file.path for file in files if file), *([pair.mask] if pair.mask else [])]


def _downsampled(image: np.ndarray, factor: int) -> np.ndarray:
    return downsample(torch.from_numpy(image.astype(np.float32)), factor).numpy()


def _check_reducible(pairs: Sequence[Pair], headers: Sequence[PairHeader], reduce: int) -> None:
    if reduce < 1:
        raise UserError(f"reduce must be at least 1, got {reduce}")
    odd = [pair.name for pair, h in zip(pairs, headers, strict=True) if h.height % reduce or h.width % reduce]
    if odd:
        raise UserError(
            f"reduce={reduce} does not divide the size of {some(odd)}: give another factor or crop the images"
        )
