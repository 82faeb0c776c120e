"""JSON files on the web, such as STAC items."""

import functools
import json
import time
import urllib.error
import urllib.request
from typing import Any

from declouds.errors import UserError
from declouds.scenes.rasters.web import check_online
from declouds.scenes.rasters.web_fault import web_fault, wrong_content
from declouds.scenes.rasters.web_path import WebPath
from declouds.scenes.rasters.web_settings import setting

LARGEST = 16 * 2**20  # bytes
KEPT = 60  # seconds: a scene is opened several times, and addresses in its item may be signed for an hour
TRIES = 3


def read_json(path: WebPath) -> Any:
    """Return the content of a JSON file on a web server; for a minute, the same without asking again.

    Raises:
        UserError: it cannot be read, is no JSON or larger than 16 MB, or the network is forbidden.
    """
    check_online(path)
    if not path.address.startswith("http"):
        raise UserError(f"{path}: a STAC item is read by http or https: give such an address, or download the file")
    text = _text(path, int(time.monotonic() // KEPT))
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(wrong_content(path, str(error), "STAC item")) from error


@functools.lru_cache(maxsize=8)
def _text(path: WebPath, minute: int) -> bytes:
    """Return what a server sends, trying again where it fails."""
    for attempt in range(TRIES):
        try:
            return _fetched(path)
        except urllib.error.HTTPError as error:
            if attempt == TRIES - 1 or not (error.code == 429 or error.code >= 500):
                raise UserError(web_fault(path, f"HTTP {error.code}")) from error
        except (OSError, ValueError) as error:
            if attempt == TRIES - 1:
                raise UserError(web_fault(path, str(getattr(error, "reason", error)))) from error
        time.sleep(2**attempt * setting("GDAL_HTTP_RETRY_DELAY"))
    raise AssertionError  # the last attempt returns or raises


def _fetched(path: WebPath) -> bytes:
    """Return what a server sends."""
    request = urllib.request.Request(path.address, headers={"Accept": "application/geo+json, application/json, */*"})
    with urllib.request.urlopen(request, timeout=setting("GDAL_HTTP_CONNECTTIMEOUT")) as answer:
        text = answer.read(LARGEST + 1)
    if len(text) > LARGEST:
        raise UserError(f"{path}: is larger than {LARGEST >> 20} MB, and no STAC item is: give the address of one item")
    return text
