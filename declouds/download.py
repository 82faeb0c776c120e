"""Files from the network: kept only whole and with the right digest, and never fetched where that is forbidden."""

import hashlib
import http.client
import logging
import os
import urllib.request
from pathlib import Path

from declouds.atomic_file import replacing

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
    from rich.console import Console
    from rich.progress import DownloadColumn, Progress, TimeRemainingColumn

    columns = (*Progress.get_default_columns()[:2], DownloadColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    digest = hashlib.sha256()
    try:
        with replacing(path) as temporary, urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
            path.parent.mkdir(parents=True, exist_ok=True)
            size = int(answer.headers.get("Content-Length") or 0)
            logger.warning("downloading %s (%.3g MB) to %s", url, size / 1e6, path)
            bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
            with temporary.open("wb") as file, bar:
                task = bar.add_task(path.name, total=size or None)
                while block := answer.read(BLOCK):
                    file.write(block)
                    digest.update(block)
                    bar.advance(task, len(block))
            if not digest.hexdigest().startswith(sha256):
                raise OSError(f"what arrived is another file: its SHA-256 digest is {digest.hexdigest()}, not {sha256}")
    except http.client.HTTPException as error:
        raise OSError(f"the download broke off ({error!r})") from error


def file_digest(path: Path) -> str:
    """Return the SHA-256 digest of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
