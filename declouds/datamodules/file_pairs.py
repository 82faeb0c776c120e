"""Pairs that lie in image files: headers are checked at once, pixels when they are read."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F

from declouds.datamodules.pair import Pair, PairHeader, check_same_bands, read_bands, read_header, some
from declouds.datamodules.pair_dataset import Arrays, PairDataset
from declouds.errors import UserError
from declouds.image_io import read_image
from declouds.value_range import ValueRange


class FilePairDataset(PairDataset):
    """Pairs of image files.

    ``reduce=2`` halves height and width (512 -> 256, the size of the published experiments): see `shrink`. A mask pixel
    counts as cloud if its value is above ``mask_above``; a reduced mask is cloud where any of its pixels was.

    Raises:
        UserError: from headers alone, when built: pairs that do not fit together, a type without a known value range, a
            size that cannot be reduced. When a pair is read: a broken file, NaN, values outside the value range.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        value_range: ValueRange | Sequence[float] | None = None,
        reduce: int = 1,
        mask_above: float = 0,
        cache: bool = True,
    ) -> None:
        headers = [read_header(pair) for pair in pairs]
        check_same_bands(pairs, headers)
        _check_reducible(pairs, headers, reduce)
        bytes_per_value = np.dtype(headers[0].dtype).itemsize if headers and reduce == 1 else 4
        sizes = [(header.height // reduce, header.width // reduce) for header in headers]
        pixels = sum(height * width for height, width in sizes)
        bands = headers[0].bands if headers else 0
        super().__init__(
            [pair.name for pair in pairs],
            bands,
            _range_for(value_range, headers),
            sizes,
            size_in_memory=pixels * (2 * bands * bytes_per_value + 1),
            cache=cache,
        )
        self.pairs = tuple(pairs)
        self.reduce = reduce
        self.mask_above = mask_above

    def load(self, index: int) -> Arrays:
        """Read one pair from its files, in sensor units."""
        pair = self.pairs[index]
        cloudy, clear = read_bands(pair.cloudy), read_bands(pair.clear)
        for files, values in ((pair.cloudy, cloudy), (pair.clear, clear)):
            if values.min() > self.value_range.high or values.max() < self.value_range.low:
                raise UserError(
                    f"{files[0].path}: all values ({values.min()} to {values.max()}) lie outside value_range "
                    f"({self.value_range.low:g}, {self.value_range.high:g}): give the range of this sensor"
                )
        mask = None if pair.mask is None else (read_image(pair.mask)[:1] > self.mask_above)
        if self.reduce == 1:
            return cloudy, clear, mask
        return (
            shrink(cloudy, self.reduce),
            shrink(clear, self.reduce),
            None if mask is None else self._shrink_mask(mask),
        )

    def _shrink_mask(self, mask: np.ndarray) -> np.ndarray:
        _, height, width = mask.shape
        blocks = mask.reshape(1, height // self.reduce, self.reduce, width // self.reduce, self.reduce)
        return np.any(blocks, axis=(2, 4))


def shrink(image: np.ndarray, factor: int) -> np.ndarray:
    """Reduce height and width by ``factor``: bicubic, antialiased, in floats and never rounded to the sensor's type.

    The kernel is Keys' cubic with a = -0.5, widened by ``factor``, as in MATLAB's ``imresize``: torch uses a = -0.5
    with antialiasing, and -0.75 without. They differ at the border alone, in the outermost ``2 * factor`` pixels of the
    input: MATLAB mirrors the image there, torch leaves out what lies outside and rescales the weights.

    Shapes: (C, H, W) -> (C, H / factor, W / factor).
    """
    _, height, width = image.shape
    values = torch.from_numpy(image.astype(np.float32))[None]
    size = (height // factor, width // factor)
    return F.interpolate(values, size=size, mode="bicubic", antialias=True)[0].numpy()


def _range_for(value_range: ValueRange | Sequence[float] | None, headers: Sequence[PairHeader]) -> ValueRange:
    if isinstance(value_range, ValueRange):
        return value_range
    if value_range is None:
        return ValueRange.of_dtype(headers[0].dtype if headers else "uint8")
    if len(value_range) != 2:
        raise UserError(f"value_range={value_range}: give the two sensor values that stand for black and white")
    return ValueRange(float(value_range[0]), float(value_range[1]))


def _check_reducible(pairs: Sequence[Pair], headers: Sequence[PairHeader], reduce: int) -> None:
    if reduce < 1:
        raise UserError(f"reduce={reduce}: give 1 (as stored), 2 (half the size) or more")
    odd = [pair.name for pair, h in zip(pairs, headers, strict=True) if h.height % reduce or h.width % reduce]
    if odd:
        raise UserError(
            f"reduce={reduce} does not divide the size of {some(odd)}: give another factor or cut the images"
        )
