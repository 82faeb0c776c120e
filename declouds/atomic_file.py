"""Files that appear under their name only when they are complete."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path, *, only_writer: bool = False) -> Iterator[Path]:
    """Give a temporary path beside ``path``, which it becomes if the block ends well; else it is removed.

    Args:
        path: the file to write; one that exists stays as it is until the new one is complete.
        only_writer: no other process writes ``path``, so one temporary name is enough: what a killed writer left
            behind is replaced by the next, and never piles up.
    """
    part = "partial" if only_writer else f"{uuid.uuid4().hex[:8]}.partial"
    # The suffix stays last: some writers choose the format by it.
    temporary = path.with_name(f".{path.stem}.{part}{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
