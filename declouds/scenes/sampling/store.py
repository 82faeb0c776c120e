"""Images of the size of a scene, read and written by windows: on disk or in memory."""

import os
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from declouds.errors import UserError
from declouds.scenes.sampling.tiles import Window, common_of, inside_of

ZEROS = 2**24  # bytes written at a time where the system cannot reserve room


class Raster(Protocol):
    """An image of float32, or of what its maker says. Shapes of a window: (channels, height, width)."""

    def read(self, window: Window) -> np.ndarray:
        """Return a copy of a window."""

    def write(self, window: Window, values: np.ndarray) -> None:
        """Replace a window."""


class FileRaster:
    """A raster in a file, so that memory holds no more of it than the window in use.

    Rows lie one after another, in each row the channels: a range of rows is one range of bytes.

    Args:
        path: the file.
        channels: bands of the image.
        width: columns of the image.
    """

    def __init__(self, path: Path, channels: int, width: int) -> None:
        self.path, self.channels, self.width = path, channels, width

    def create(self, height: int) -> None:
        """Make the file, of zeros, whose place on the disk is taken: a mapped page without one would end the process.

        Raises:
            UserError: the disk has no room for it.
        """
        size = self._bytes_of(height)
        try:
            with self.path.open("wb") as file:
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(file.fileno(), 0, size)
                else:  # Windows, macOS
                    for start in range(0, size, ZEROS):
                        file.write(bytes(min(ZEROS, size - start)))
        except OSError as error:
            self.path.unlink(missing_ok=True)
            raise UserError(
                f"{self.path.parent}: {size / 1e9:.3g} GB for intermediate results cannot be allocated: "
                f"{error.strerror}. If the disk is full, make room there, or write the output elsewhere"
            ) from error

    def is_whole(self, height: int) -> bool:
        """Tell whether the file is there, of the size that it should have."""
        return self.path.is_file() and self.path.stat().st_size == self._bytes_of(height)

    def _bytes_of(self, rows: int) -> int:
        return 4 * self.channels * rows * self.width

    def read(self, window: Window) -> np.ndarray:
        """Return a copy of a window."""
        rows = self._map(window, "r")
        return np.ascontiguousarray(rows[:, :, window.slices[1]].transpose(1, 0, 2))

    def write(self, window: Window, values: np.ndarray) -> None:
        """Replace a window."""
        rows = self._map(window, "r+")
        rows[:, :, window.slices[1]] = values.transpose(1, 0, 2)

    def _map(self, window: Window, mode: Literal["r", "r+"]) -> np.ndarray:
        """Map the window's rows for the time of one access: mapped pages count as memory in use."""
        shape = (window.height, self.channels, self.width)
        return np.memmap(self.path, np.float32, mode, self._bytes_of(window.row), shape)


class MemoryRaster:
    """A raster in memory."""

    def __init__(self, channels: int, height: int, width: int) -> None:
        self.values = np.zeros((channels, height, width), np.float32)

    def read(self, window: Window) -> np.ndarray:
        """Return a copy of a window."""
        return self.values[:, *window.slices].copy()

    def write(self, window: Window, values: np.ndarray) -> None:
        """Replace a window."""
        self.values[:, *window.slices] = values


class MemoryJob:
    """Work that ends with the process: rasters in memory, no ledger."""

    passes_done = 0

    def __init__(self, height: int, width: int) -> None:
        self.height, self.width = height, width
        self.rasters: dict[str, Raster] = {}

    def raster(self, name: str, channels: int) -> Raster:
        """Return the raster called ``name``, created on first use."""
        if name not in self.rasters:
            self.rasters[name] = MemoryRaster(channels, self.height, self.width)
        return self.rasters[name]

    def rows_done(self, number: int | str, area: Window) -> int:
        """Return the first row of ``area`` that pass ``number`` has not finished."""
        return area.row

    def note_rows(self, number: int | str, area: Window, row: int) -> None:
        """Note that pass ``number`` has finished ``area`` above ``row``."""

    def note_pass(self, number: int) -> None:
        """Note that pass ``number`` is finished everywhere."""

    def remove(self) -> None:
        """Drop the rasters."""
        self.rasters.clear()


class PartJob(MemoryJob):
    """Rasters of one part of an image; beyond it they are 0."""

    def __init__(self, area: Window) -> None:
        super().__init__(area.height, area.width)
        self.area = area

    def raster(self, name: str, channels: int) -> Raster:
        """Return the raster called ``name``, created on first use."""
        if name not in self.rasters:
            self.rasters[name] = PartRaster(channels, self.area)
        return self.rasters[name]


class PartRaster(MemoryRaster):
    """A part of a raster, indexed as the whole is."""

    def __init__(self, channels: int, area: Window) -> None:
        super().__init__(channels, area.height, area.width)
        self.area = area

    def read(self, window: Window) -> np.ndarray:
        """Return a copy of a window, 0 beyond the part."""
        result = np.zeros((len(self.values), window.height, window.width), np.float32)
        common = common_of(window, self.area)
        result[:, *inside_of(common, window)] = self.values[:, *inside_of(common, self.area)]
        return result

    def write(self, window: Window, values: np.ndarray) -> None:
        """Replace a window of the part."""
        self.values[:, *inside_of(window, self.area)] = values
