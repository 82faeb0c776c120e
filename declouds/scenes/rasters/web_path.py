"""Addresses of files on the web as paths, which show no secret."""

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

# GDAL's name of a file begins with ours, or with what follows it.
PREFIXES = {
    **{"http://": "/vsicurl/http://", "https://": "/vsicurl/https://"},
    **{"s3://": "/vsis3/", "gs://": "/vsigs/", "az://": "/vsiaz/"},
}
SECRET = re.compile(
    r"(?:/vsicurl/)?((?:https?|s3|gs|az)://)(?:[^/?#\s'\"<>]*@)?([^?\s'\"<>]*)(\?[^\s'\"<>]*)?", re.IGNORECASE
)
SECRET_OF_NAME = re.compile(r"(\.\w{2,5})\?[^\s'\"<>,]*=[^\s'\"<>,]*")  # GDAL says names without their folder too

if TYPE_CHECKING:
    from pathlib import PosixPath as _Path
else:
    _Path = type(Path())


class WebPath(_Path):
    """A file on the web: what can be opened of it is its name for GDAL, and what is shown hides the query and password.

    It never exists on this machine, and knows its name and suffix as any path does.

    Args:
        address: as ``https://host/file.tif?token=secret`` or ``s3://bucket/file.tif``.

    Attributes:
        address: the same.
    """

    def __new__(cls, address: str) -> "WebPath":
        """Make the path that the address would be without its query; Python 3.12 does that in `__init__`."""
        self = super().__new__(cls, _path_of(address))
        self.address = address
        return self

    def __init__(self, address: str) -> None:
        if sys.version_info >= (3, 12):
            super().__init__(_path_of(address))
        self.address: str = address

    def __str__(self) -> str:
        return redacted(self.address)

    def __fspath__(self) -> str:
        scheme, found, rest = self.address.partition("://")
        return PREFIXES[scheme + found] + rest

    def __eq__(self, other: object) -> bool:
        return self.address == other.address if isinstance(other, WebPath) else False

    def __hash__(self) -> int:
        return hash(self.address)

    @property
    def parent(self) -> "WebPath":
        """The folder, without a query."""
        return WebPath(self.address.partition("?")[0].rpartition("/")[0])

    def absolute(self) -> "WebPath":
        """Return the same."""
        return self

    def resolve(self, strict: bool = False) -> "WebPath":
        """Return the same."""
        return self


def located(given: str | os.PathLike[str]) -> Path:
    """Return where a file lies, from what the user or GDAL calls it: a `WebPath`, or else a path on this machine."""
    if isinstance(given, WebPath):
        return given
    text = os.fspath(given)
    for ours, of_gdal in PREFIXES.items():
        for prefix in (of_gdal, ours):
            if text[: len(prefix)].casefold() == prefix:
                return WebPath(ours + text[len(prefix) :])
    return Path(given)


def redacted(text: str) -> str:
    """Return a text, such as a message of GDAL, in which web addresses have no query, password or prefix of GDAL."""
    text = SECRET.sub(lambda found: f"{found[1]}{found[2]}{'?...' if found[3] else ''}", text)
    return SECRET_OF_NAME.sub(r"\1?...", text)


def _path_of(address: str) -> str:
    """Return host and path of an address as text without a query, decoded as in the address bar of a browser."""
    return unquote(redacted(address).partition("?")[0]) if address.startswith("http") else address
