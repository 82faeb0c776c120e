"""Scenes described by a STAC item: a JSON file that names a file for each asset. Needs pystac, an extra."""

import functools
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit
from urllib.request import url2pathname

from declouds.errors import UserError
from declouds.scenes.rasters import landsat
from declouds.scenes.rasters.bands import plain_name
from declouds.scenes.rasters.stack import Layer
from declouds.scenes.rasters.web_json import read_json
from declouds.scenes.rasters.web_path import WebPath, located, redacted


def is_stac(path: Path) -> bool:
    """Tell whether a path is called like a STAC item: on the web also as an API calls it."""
    return path.suffix.lower() in (".json", ".geojson") or (isinstance(path, WebPath) and path.parent.name == "items")


def stac_layers(path: Path, bands: Sequence[str] | None) -> list[Layer]:
    """Return where the bands of an item lie, and what their values mean.

    Scale, offset and nodata are those of the raster extension (``raster:bands``, or ``bands`` since STAC 1.1), else
    those of Landsat Collection 2, whose items do not always give them, else the files' own.

    Args:
        path: the item's JSON file; addresses of assets in it are relative to it. An asset on the web is first looked
            for in the folder of an item on this machine, by the last part of its address.
        bands: names of assets; ``NAME:2`` is the second band of an asset that has several. A name that no asset has is
            the common name of the only band of one, such as ``red``.

    Raises:
        UserError: no bands are given; one is not an asset of the item; an asset has an address of another kind than
            `located` knows; the file is not a STAC item, or not there; or pystac is not installed.
    """
    return layers_of(_item(path), path, bands)


def layers_of(item: Any, path: Path, bands: Sequence[str] | None) -> list[Layer]:
    """Return the same of an item that was read.

    Args:
        item: of pystac.
        path: that it was read from.
        bands: see `stac_layers`.

    Raises:
        UserError: as there.
    """
    listing = ", ".join(item.assets)
    if not bands:
        raise UserError(f"{path}: choose assets of this STAC item as bands (--bands); it has {listing}")
    layers = []
    applied: dict[float, list[str]] = {}
    for name in bands:
        key, band = _asset(item, name)
        if key is None:
            raise UserError(f"{path}: {name!r} is not one of its assets: choose among {listing}")
        file = _file_of(item, key, path)
        units = landsat.units_of(file) | _units(item, key, band or 1, path)
        if units.get("offset") and _has_offsets_applied(item):
            applied.setdefault(units["offset"], []).append(key)
            units["offset"] = 0.0
        own_name = key if band is None else f"{key}:{band}"
        called = own_name if plain_name(own_name) == plain_name(name) else name.strip()
        layers.append(Layer(file, called, band, **units))
    for offset, keys in applied.items():
        _say_applied(path, offset, ", ".join(dict.fromkeys(keys)))
    return layers


def has_assets(path: Path, keys: Sequence[str]) -> bool:
    """Return whether an item has all these assets.

    Raises:
        UserError: as `stac_layers`.
    """
    item = _item(path)
    return all(_asset(item, key)[0] is not None for key in keys)


def asset_file(path: Path, keys: Sequence[str]) -> Path | None:
    """Return the file of the first of these assets that an item has; None if it has none.

    Args:
        path: the item's JSON file.
        keys: of assets, in lower case.

    Raises:
        UserError: as `stac_layers`.
    """
    return asset_of(_item(path), path, keys)


def asset_of(item: Any, path: Path, keys: Sequence[str]) -> Path | None:
    """Return the same of an item that was read from a path."""
    own = {key.casefold(): key for key in item.assets}
    return next((_file_of(item, own[key], path) for key in keys if key in own), None)


def _has_offsets_applied(item: Any) -> bool:
    """Tell whether the item says that offsets were added to its stored values."""
    return any(value for name, value in item.properties.items() if name.endswith(":boa_offset_applied"))


@functools.cache  # a scene is opened several times, and this is said once
def _say_applied(path: Path, offset: float, keys: str) -> None:
    logging.getLogger("declouds").warning(
        "%s: says that the offset %g of %s is in its stored values already: taken as 0", path, offset, keys
    )


def _item(path: Path) -> Any:
    """Read the item."""
    try:
        import pystac
    except ImportError as error:
        raise UserError(
            f'{path}: STAC items are read by pystac, which is not installed: pip install "declouds[stac]"'
        ) from error
    if not isinstance(path, WebPath) and not path.is_file():
        raise UserError(f"{path}: no such file: check the path")
    content: Any = read_json(path) if isinstance(path, WebPath) else None
    try:
        if isinstance(path, WebPath):
            return pystac.Item.from_dict(content, href=path.address)
        return pystac.Item.from_file(path)
    except (
        pystac.STACError,
        pystac.STACTypeError,
        OSError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        RecursionError,
    ) as error:
        raise UserError(
            f"{path}: cannot be read as a STAC item ({' '.join(redacted(str(error)).split())}): give the JSON file of "
            "one item"
        ) from error


def _asset(item: Any, name: str) -> tuple[str | None, int | None]:
    """Return an asset's key, and the number of its band if one is said."""
    own_keys = {plain_name(key): key for key in item.assets}
    if plain_name(name) in own_keys:
        return own_keys[plain_name(name)], None
    common = [key for key, asset in item.assets.items() if _common_names(asset) == [name.strip().casefold()]]
    if len(common) == 1:
        return common[0], None
    asset, _, number = name.rpartition(":")
    band = int(number) if number.isdecimal() else 0
    return (own_keys.get(plain_name(asset)), band) if band else (None, None)


def _common_names(asset: Any) -> list[str]:
    """Return what the extension for optical data calls the bands of an asset."""
    bands = asset.extra_fields.get("eo:bands") or asset.extra_fields.get("bands") or []
    if not isinstance(bands, list) or not all(isinstance(band, dict) for band in bands):
        return []
    return [str(band.get("common_name") or band.get("eo:common_name") or "").casefold() for band in bands]


def _file_of(item: Any, key: str, path: Path) -> Path:
    """Return the asset's file, on this machine if it is there."""
    if isinstance(path, WebPath):
        return _on_web(urljoin(path.address, item.assets[key].href), key, path)
    href = item.assets[key].get_absolute_href() or item.assets[key].href
    scheme = urlsplit(href).scheme
    if scheme == "file":
        return Path(url2pathname(urlsplit(href).path))
    if len(scheme) > 1 or href.startswith("/vsi"):  # one letter is a drive
        downloaded = path.parent / unquote(urlsplit(href).path).rpartition("/")[2]
        return downloaded if downloaded.is_file() else _on_web(href, key, path)
    return Path(href)


def _on_web(href: str, key: str, path: Path) -> WebPath:
    """Return an asset on the web: an item there names no file of this machine."""
    if isinstance(on_web := located(href), WebPath):
        return on_web
    raise UserError(
        f"{path}: the asset {key} has an address that cannot be read ({redacted(href)}): download it and the item into "
        "one folder, and give the item there"
    )


def _units(item: Any, key: str, band: int, path: Path) -> dict[str, float]:
    """Return scale, offset and nodata of a band as far as the item gives them."""
    fields = item.assets[key].extra_fields
    units: dict[str, Any] = {name.removeprefix("raster:"): value for name, value in fields.items()}
    for listed in (fields.get("raster:bands"), fields.get("bands")):
        if isinstance(listed, list) and len(listed) >= band and isinstance(listed[band - 1], dict):
            units |= {name.removeprefix("raster:"): value for name, value in listed[band - 1].items()}
    try:
        return {name: float(units[name]) for name in ("scale", "offset", "nodata") if units.get(name) is not None}
    except (TypeError, ValueError) as error:
        raise UserError(
            f"{path}: scale, offset or nodata of the asset {key} is not a number: correct the item"
        ) from error
