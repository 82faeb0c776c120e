"""Rasters on the web, read by GDAL in parts, and again where that fails."""

import logging
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeVar

import rasterio
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader

from declouds.download import offline
from declouds.errors import UserError
from declouds.scenes.rasters.web_fault import refusal, web_fault
from declouds.scenes.rasters.web_path import WebPath, located, redacted
from declouds.scenes.rasters.web_settings import folder_settings, http_settings, setting

T = TypeVar("T")

PAUSES = (2, 8)  # before a window is read again, times `GDAL_HTTP_RETRY_DELAY`


def _redact(record: logging.LogRecord) -> bool:
    """Take secrets out of a warning of GDAL, such as that it tries again."""
    record.msg, record.args = redacted(record.getMessage()), ()
    return True


for _source in ("rasterio._err", "rasterio._env"):
    logging.getLogger(_source).addFilter(_redact)

_failed: set[str] = set()  # GDAL remembers, as long as the process lives, that a file could not be opened


def open_raster(name: str | os.PathLike[str], driver: str | None = None) -> DatasetReader:
    """Open a raster, on this machine or on the web.

    Args:
        name: its path, or an address.
        driver: the only format that it may have.

    Raises:
        UserError: it is on the web and cannot be opened, unless a format was given.
        RasterioError: it cannot be opened.
    """
    path = located(name)
    if not isinstance(path, WebPath):
        with rasterio.Env(**folder_settings(False)):
            return rasterio.open(name, driver=driver)
    check_online(path)
    fresh = _uncached(path) if path.address in _failed else {}
    try:
        with rasterio.Env(**http_settings(), **folder_settings(True), **fresh):
            return rasterio.open(path, driver=driver)
    except RasterioError as error:
        if driver is not None:
            raise
        _failed.add(path.address)
        raise UserError(web_fault(path, str(error))) from error


def check_online(path: WebPath) -> None:
    """Refuse the network where that is forbidden.

    Raises:
        UserError: as said.
    """
    if offline():
        raise UserError(
            f"{path}: is on the web, and $DECLOUDS_OFFLINE forbids that: unset it, or download the file and give that"
        )


def patiently(file: DatasetReader, read: Callable[[], T]) -> T:
    """Return what ``read`` gives; where pixels come from the web, try again when that fails.

    Args:
        file: that is read.
        read: reads it.

    Raises:
        UserError: it fails every time, and pixels come from the web.
        RasterioError: it fails, and they come from this machine.
    """
    addresses: Sequence[WebPath] = ()
    for pause in (*PAUSES, None):
        try:
            return read()
        except RasterioError as error:
            addresses = addresses or files_on_web(file)  # which GDAL no longer says once it has failed to find them
            if not addresses:
                raise
            if pause is None:
                raise UserError(_lost(addresses)) from error
            time.sleep(pause * setting("GDAL_HTTP_RETRY_DELAY"))
            _forget(addresses)
    raise AssertionError  # the last time it has returned or raised


def _lost(addresses: Sequence[WebPath]) -> str:
    """Return why pixels do not come from the web any more."""
    for address in addresses:
        if why := refusal(address):
            return web_fault(address, why)
    return f"{addresses[0]}: what its server sends is damaged or cut short: try again later"


def _forget(addresses: Sequence[WebPath]) -> None:
    """Let GDAL drop what it keeps of files: half an answer stays half for it."""
    for path in addresses:
        with suppress(RasterioError), rasterio.Env(**_uncached(path)):
            rasterio.open(path).close()


def _uncached(path: WebPath) -> dict[str, str]:
    """Return the settings with which GDAL bypasses its cache, and clears it when the file is closed."""
    return {"CPL_VSIL_CURL_NON_CACHED": os.fspath(path).split(":")[0]}  # a colon would end it


def files_on_web(file: DatasetReader) -> list[WebPath]:
    """Return the addresses that pixels of an open file come from; of a mosaic, those that it names."""
    return [path for path in map(located, (file.name, *file.files)) if isinstance(path, WebPath)]
