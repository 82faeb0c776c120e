"""With which settings GDAL asks web servers."""

import os

import rasterio

SETTINGS = {  # of GDAL, where the environment does not set them
    "GDAL_HTTP_CONNECTTIMEOUT": "10",  # seconds
    "GDAL_HTTP_LOW_SPEED_TIME": "30",  # seconds without any data; a limit for whole answers would stop slow networks
    "GDAL_HTTP_LOW_SPEED_LIMIT": "1",  # bytes per second
    "GDAL_HTTP_MAX_RETRY": "4",  # after the answers 429 and 5xx, each time twice as late
    "GDAL_HTTP_RETRY_DELAY": "1",  # seconds
}


def http_settings() -> dict[str, str]:
    """Return how GDAL asks web servers, as far as neither the environment nor the caller's `rasterio.Env` says it."""
    given = {*os.environ, *(rasterio.env.getenv() if rasterio.env.hasenv() else ())}
    return {name: value for name, value in SETTINGS.items() if name not in given}


def setting(name: str) -> float:
    """Return one of `SETTINGS`, as the environment has it."""
    try:
        return float(os.environ.get(name, SETTINGS[name]))
    except ValueError:  # GDAL ignores it too
        return float(SETTINGS[name])


def folder_settings(on_web: bool) -> dict[str, str]:
    """Return whether GDAL looks for further files beside those that it opens: on the web it would ask for each."""
    name = "GDAL_DISABLE_READDIR_ON_OPEN"
    return {} if name in os.environ else {name: "EMPTY_DIR" if on_web else "FALSE"}
