"""A search in a STAC API. Needs pystac-client, an extra."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from declouds.download import offline
from declouds.errors import UserError, did_you_mean, some
from declouds.scenes.rasters.web_fault import web_fault, wrong_content
from declouds.scenes.rasters.web_path import WebPath, redacted
from declouds.scenes.rasters.web_settings import setting

MOST = 2000  # items looked at
PAGE = 100  # of them, in an answer
NOT_YET = (429, 500, 502, 503, 504)  # answers after which a request is repeated
LONGEST = 200  # letters of what a server says

Box = tuple[float, float, float, float]  # west, south, east, north in degrees


def search(api: str, collection: str, box: Box, days: str) -> list[Any]:
    """Return the items of a collection that touch a box, as pystac has them.

    Args:
        api: address of its landing page.
        collection: its id.
        box: where.
        days: first and last day, as ``2024-06-01/2024-08-31``.

    Raises:
        UserError: the address is none of a STAC API, or it cannot be read; it has no such collection, or no item there
            and then; or pystac-client is not installed.
    """
    if not re.match(r"https?://", api):
        raise UserError(f"--stac {redacted(api)}: give the address of a STAC API, as https://host/v1")
    if offline():
        raise UserError(f"--stac {redacted(api)}: $DECLOUDS_OFFLINE forbids the network: unset it to fetch from there")
    try:
        from pystac_client import Client
        from pystac_client.stac_api_io import StacApiIO
        from urllib3 import Retry
    except ImportError as error:
        raise UserError(
            'a STAC API is searched by pystac-client, which is not installed: pip install "declouds[stac]"'
        ) from error
    tries, delay = int(setting("GDAL_HTTP_MAX_RETRY")), setting("GDAL_HTTP_RETRY_DELAY")
    wait = (setting("GDAL_HTTP_CONNECTTIMEOUT"), setting("GDAL_HTTP_LOW_SPEED_TIME"))
    retry = Retry(tries, backoff_factor=delay, status_forcelist=NOT_YET, allowed_methods=None, raise_on_status=False)
    with _named_faults(api):
        client = Client.open(api, stac_io=StacApiIO(timeout=wait, max_retries=retry))
        found = client.search(collections=[collection], bbox=list(box), datetime=days, limit=PAGE, max_items=MOST)
        items = list(found.items())
        if not items:
            _check_collection(client, api, collection)
            raise UserError(
                f"{redacted(api)}: {collection} has no item in this box from {days.replace('/', ' to ')}: try more "
                "days (--datetime), or check the box (--bbox west,south,east,north)"
            )
    return items


@contextmanager
def _named_faults(api: str) -> Iterator[None]:
    """Turn what goes wrong in a search into one line."""
    from pystac import STACError, STACTypeError
    from pystac_client.exceptions import APIError
    from pystac_client.warnings import DoesNotConformTo

    try:
        yield
    except APIError as error:
        status, said = getattr(error, "status_code", None), " ".join(str(error).split())
        if status is not None:
            said = f"HTTP {status}" + ("" if said.startswith("<") else f": {said[:LONGEST]}")
        elif system := re.search(r"\[Errno -?\d+\] ([^'\")]+)", said):  # in what urllib3 wraps around it
            said = system[1]
        raise UserError(web_fault(WebPath(api), said, "STAC API")) from error
    except DoesNotConformTo as error:
        raise UserError(
            f"{redacted(api)}: is a catalog that cannot be searched: give the address of a STAC API"
        ) from error
    except (STACError, STACTypeError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise UserError(wrong_content(WebPath(api), " ".join(str(error).split())[:LONGEST], "STAC API")) from error


def _check_collection(client: Any, api: str, wanted: str) -> None:
    """Refuse a collection that an API does not have."""
    known: Sequence[str] = [collection.id for collection in client.get_collections()]
    if known and wanted not in known:
        raise UserError(
            f"{redacted(api)}: has no collection {wanted!r}: {did_you_mean(wanted, known)}it has {some(sorted(known))}"
        )
