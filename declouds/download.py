"""Files from the network: kept only whole and with the right digest, and never fetched where that is forbidden."""

import hashlib
import http.client
import logging
import os
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock

from declouds.atomic_file import replacing
from declouds.progress import progress_bar

TIMEOUT = 5.0  # seconds without an answer
BLOCK = 1 << 20

logger = logging.getLogger("declouds")


def cache_folder() -> Path:
    """Return the folder of downloaded files: ``$DECLOUDS_CACHE``, else ``declouds`` in the user's cache folder."""
    if own := os.environ.get("DECLOUDS_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "declouds"


def offline() -> bool:
    """Return whether ``$DECLOUDS_OFFLINE`` forbids downloads."""
    return os.environ.get("DECLOUDS_OFFLINE", "0") not in ("", "0")


def download(url: str, path: Path, sha256: str) -> None:
    """Fetch ``url`` to ``path``, with a progress bar on a terminal.

    Args:
        url: where the file is.
        path: where it goes; its folder is made.
        sha256: its digest in hexadecimal, or the beginning of it.

    Raises:
        OSError: there is no network, the server refuses, or another file arrived; ``path`` is then as before.
    """
    digest = hashlib.sha256()
    try:
        with replacing(path) as temporary, urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
            path.parent.mkdir(parents=True, exist_ok=True)
            size = int(answer.headers.get("Content-Length") or 0)
            logger.warning("downloading %s (%.3g MB) to %s", url, size / 1e6, path)
            with temporary.open("wb") as file, progress_bar(path.name, size or None, in_bytes=True) as move:
                while block := answer.read(BLOCK):
                    file.write(block)
                    digest.update(block)
                    move(advance=len(block))
            if not digest.hexdigest().startswith(sha256):
                raise OSError(f"what arrived is another file: its SHA-256 digest is {digest.hexdigest()}, not {sha256}")
    except http.client.HTTPException as error:
        raise OSError(f"the download broke off ({error!r})") from error


def published_weights(file_name: str, url: str, variable: str, given: str | os.PathLike[str] | None = None) -> Path:
    """Return a file of weights that torchvision publishes, from the first place that has it.

    The places are ``given``, the environment variable, our cache, torch hub's checkpoint folder, and ``url``. Of
    several processes that need it, one downloads it into our cache and the others wait.

    Args:
        file_name: torchvision's name; the hexadecimal part at its end begins the file's SHA-256.
        url: where it is published.
        variable: environment variable that names a file.
        given: a file; whether it exists is left to who reads it.

    Raises:
        OSError: it would have to be downloaded, and cannot be, or that is forbidden.
    """
    if own := given or os.environ.get(variable):
        return Path(own)
    if found := _cached(file_name):
        return found
    if offline():
        raise OSError("$DECLOUDS_OFFLINE forbids it")
    path = cache_folder() / file_name
    with _one_at_a_time(path):
        if found := _cached(file_name):  # another process has downloaded it since
            return found
        download(url, path, sha256=path.stem.rsplit("-", 1)[-1])
    return path


def _cached(file_name: str) -> Path | None:
    """Return the file in our cache, or else in torch hub's."""
    import torch  # seconds to import

    folders = (cache_folder(), Path(torch.hub.get_dir()) / "checkpoints")
    return next((folder / file_name for folder in folders if (folder / file_name).is_file()), None)


@contextmanager
def _one_at_a_time(path: Path) -> Iterator[None]:
    """Let processes that mean to write ``path`` in one after the other, by the lock of a file beside it.

    The lock of a killed process is free. Where the file system has no locks, all are let in.
    """
    lock = path.with_name(f".{path.name}.lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    held = FileLock(lock)
    with suppress(OSError, NotImplementedError):
        held.acquire()
    try:
        yield
    finally:
        held.release()
        with suppress(OSError):  # another process may hold it by now: it finds the file whole
            lock.unlink()
