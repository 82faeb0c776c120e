"""Start noise as a function of the pixel's position: the same in every window and process."""

import zlib
from collections.abc import Sequence

import numpy as np
from numpy.random import Generator, Philox

from declouds.errors import UserError

BLOCK = 64


def check_seed(seed: int) -> None:
    """Refuse a seed that is negative or needs more than 64 bits.

    Raises:
        UserError: as said.
    """
    if not 0 <= seed < 2**64:
        raise UserError(f"seed = {seed}: a seed is an integer from 0 to 2**64 - 1")


def noise_field(seed: int, bands: int, row: int, col: int, height: int, width: int, stream: int = 0) -> np.ndarray:
    """Return standard normal noise for a rectangle of an endless image.

    The value at a pixel depends on ``seed``, ``stream``, band and absolute position alone, so overlapping windows
    agree, whatever their size or order; fewer bands are the first of more. The field is cut into blocks of 64 x 64, and
    each block is the beginning of its own Philox stream (Salmon et al. 2011): key = seed and ``stream``, counter =
    position of the block.

    Args:
        seed: chosen by the user.
        bands: bands of the image.
        row: of the upper left corner.
        col: of the upper left corner.
        height: of the rectangle.
        width: of the rectangle.
        stream: number of the field, from 0 to 2**64 - 1: other steps and other samples have fields of their own.

    Shapes: (bands, height, width) float32.

    Raises:
        UserError: see `check_seed`.
    """
    check_seed(seed)
    top, left = row // BLOCK, col // BLOCK
    bottom, right = -(-(row + height) // BLOCK), -(-(col + width) // BLOCK)
    blocks = np.empty((bands, (bottom - top) * BLOCK, (right - left) * BLOCK), np.float32)
    for i in range(top, bottom):
        for j in range(left, right):
            # The two low words of the counter stay free: the draws are counted in them.
            draws = Generator(Philox(key=seed + (stream << 64), counter=[0, 0, i, j]))
            y, x = (i - top) * BLOCK, (j - left) * BLOCK
            blocks[:, y : y + BLOCK, x : x + BLOCK] = draws.standard_normal((bands, BLOCK, BLOCK), dtype=np.float32)
    y, x = row - top * BLOCK, col - left * BLOCK
    return np.ascontiguousarray(blocks[:, y : y + height, x : x + width])


def noise_for(name: str, seed: int, shape: Sequence[int], stream: int = 0) -> np.ndarray:
    """Return the start noise of the image called ``name``: a figure then depends on neither order nor batch.

    ``stream`` is the number of the field, see `noise_field`.

    Shapes: ``shape`` = (bands, height, width), float32.
    """
    bands, height, width = shape
    return noise_field(noise_seed(name, seed), bands, 0, 0, height, width, stream)


def noise_seed(name: str, seed: int) -> int:
    """Return the seed of the field of noise that belongs to the image called ``name``."""
    return zlib.crc32(f"{seed}:{name}".encode())
