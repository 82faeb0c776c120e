"""Decoded pairs as memory-mapped files, shared by the workers of a loader, by processes and by runs."""

import errno
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from declouds.atomic_file import replacing

SPARE = 20 * 1024**3  # bytes of the disk, or a tenth of a smaller one, that stay free for checkpoints and others


def read_decoded(path: Path) -> dict[str, np.ndarray] | None:
    """Return the arrays of a file, read-only; None if there is no such file or it is damaged."""
    try:
        record = np.load(path, mmap_mode="r")
        return {name: record[name] for name in record.dtype.names}
    except (OSError, ValueError, EOFError, TypeError):
        return None


def write_decoded(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write named arrays to a file, which appears only when it is complete.

    Raises:
        OSError: the folder cannot be created or written, or less than `SPARE` would stay free.
    """
    record = np.empty((), [(name, array.dtype, array.shape) for name, array in arrays.items()])
    for name, array in arrays.items():
        record[name] = array
    path.parent.mkdir(parents=True, exist_ok=True)
    disk = shutil.disk_usage(path.parent)
    if disk.free < record.nbytes + min(SPARE, disk.total // 10):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.save(file, record)
        file.flush()
        os.fsync(file.fileno())  # after a power failure no file must be there under its name without its content
