"""What went wrong on the web, in plain words, with the cure."""

import re
import urllib.error
import urllib.request
from typing import Any

from declouds.scenes.rasters.web_path import WebPath, redacted
from declouds.scenes.rasters.web_settings import setting

BEGIN = 512  # bytes by which a web page is known

CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or AWS_PROFILE, or AWS_NO_SIGN_REQUEST=YES for a public bucket",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS, or GS_NO_SIGN_REQUEST=YES for a public bucket",
    "az": "AZURE_STORAGE_ACCOUNT and AZURE_STORAGE_SAS_TOKEN, or AZURE_NO_SIGN_REQUEST=YES for a public container",
}
SIGNED = "an address that is signed, or GDAL_HTTP_HEADERS or GDAL_HTTP_USERPWD in the environment"
FAULTS = (  # what GDAL says, what that means, and the cure
    (r"HTTP 404|does not exist|NoSuch|NotFound", "is not there", "check the address"),
    (r"HTTP 401", "its server asks who you are", "give credentials: {credentials}"),
    (
        r"HTTP 403|Access ?Denied|InvalidAccessKeyId|SignatureDoesNotMatch|Forbidden",
        "its server refuses access",
        "sign the address again if that has expired, or give credentials: {credentials}",
    ),
    (r"not defined|^Missing|[Cc]redentials", "there are no credentials", "set {credentials}"),
    (r"HTTP 429", "its server gets too many requests", "try again later"),
    (r"HTTP 5\d\d", "its server fails", "try again later"),
    (r"resolve|Name or service|name resolution", "there is no such server", "check the address and the network"),
    (
        r"connect to|refused|unreachable|reset|Empty reply|closed",
        "no server answers there",
        "check the address and the network, or try again later",
    ),
    (
        r"timed out|too slow",
        "its server does not answer in time",
        "try again later, or set GDAL_HTTP_CONNECTTIMEOUT and GDAL_HTTP_LOW_SPEED_TIME (seconds) higher",
    ),
    (r"Range downloading", "its server gives whole files only, no parts of them", "download it, and give the file"),
    (r"SSL|certificate", "its certificate is not trusted", "name the right ones in CURL_CA_BUNDLE"),
)


def web_fault(path: WebPath, said: str, what: str = "raster") -> str:
    """Return why something on the web cannot be read, with the cure, by what GDAL or Python has said."""
    why = " ".join(redacted(said).replace("HTTP response code:", "HTTP").split())
    credentials = CREDENTIALS.get(path.address.partition("://")[0], SIGNED)
    for pattern, meaning, cure in FAULTS:
        if re.search(pattern, why):
            return f"{path}: {meaning} ({why}): {cure.format(credentials=credentials)}"
    return wrong_content(path, why, what)


def wrong_content(path: WebPath, why: str, what: str) -> str:
    """Return that something on the web is not what it should be, and that it is a web page if it is one."""
    if re.search(rb"<(html|!doctype html)", _begin(path), re.IGNORECASE):
        return (
            f"{path}: a web page came in place of a {what}: check the address, and give credentials if the page is a "
            f"login: {SIGNED}"
        )
    return f"{path}: cannot be read as a {what} ({why}): check the address"


def refusal(path: WebPath) -> str | None:
    """Return why a web server gives nothing of a file; None if it does, or is no web server."""
    try:
        _ask(path)
    except urllib.error.HTTPError as error:
        return f"HTTP {error.code}"
    except (OSError, ValueError) as error:
        return str(getattr(error, "reason", error))
    return None


def _begin(path: WebPath) -> bytes:
    """Return the first bytes that a web server gives of a file; none if it gives none, or is no web server."""
    try:
        return _ask(path)
    except (OSError, ValueError):
        return b""


def _ask(path: WebPath) -> bytes:
    """Return the first bytes of a file on a web server; of other stores, which want signed requests, none."""
    if not path.address.startswith("http"):
        return b""
    request: Any = urllib.request.Request(path.address, headers={"Range": f"bytes=0-{BEGIN - 1}"})
    with urllib.request.urlopen(request, timeout=setting("GDAL_HTTP_CONNECTTIMEOUT")) as answer:
        return answer.read(BEGIN)
