"""SHA-256 digests, in hexadecimal: of files, and of the source of classes that have no version here."""

import hashlib
import inspect
from pathlib import Path


def file_digest(path: Path) -> str:
    """Return the digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def source_digest(kind: type) -> str | None:
    """Return the digest of the file of a class, or of its functions if a notebook holds it; None if neither is there.

    There is none of a class that is built in, or was typed at a prompt.
    """
    try:
        return file_digest(Path(inspect.getfile(kind)))
    except (OSError, TypeError):
        pass
    try:
        source = "".join(map(inspect.getsource, filter(inspect.isfunction, vars(kind).values())))
    except OSError:
        return None
    return hashlib.sha256(source.encode()).hexdigest() if source else None
