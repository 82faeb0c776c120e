"""Dates of one place: searched, chosen, and written as files."""

import datetime
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.errors import RasterioError

from declouds import __version__
from declouds.errors import UserError
from declouds.fetching.choice import Dated, choose
from declouds.fetching.crop import Grid, blocks, check_types, grid_of, write_crop
from declouds.fetching.search import Box, search
from declouds.progress import progress_bar
from declouds.scenes.rasters.product_mask import ASSETS, OWN
from declouds.scenes.rasters.scene_file import GDAL_OPTIONS
from declouds.scenes.rasters.stac import asset_of, layers_of
from declouds.scenes.rasters.stack import Layer
from declouds.scenes.rasters.web import open_raster
from declouds.scenes.rasters.web_path import located, redacted
from declouds.scenes.rasters.web_settings import folder_settings, http_settings

RECIPE = "DECLOUDS_FETCHED"  # the tag that says what a file holds, so that a complete one is not fetched again


@dataclass(frozen=True)
class Request:
    """What is wanted.

    Attributes:
        api: address of a STAC API.
        collection: its id there.
        box: west, south, east, north in degrees.
        days: first and last day, as ``2024-06-01/2024-08-31``.
        bands: names of assets, or common names of bands.
        target: the day to be cleared; the latest that covers the box if None.
        count: of other days.
        most_cloud: per cent of one of them.
    """

    api: str
    collection: str
    box: Box
    days: str
    bands: Sequence[str]
    target: datetime.date | None = None
    count: int = 4
    most_cloud: float = 60.0


@dataclass(frozen=True)
class File:
    """A file to be written.

    Attributes:
        path: its name.
        layers: its bands.
        tags: its tags.
        classes: whether it is a cloud mask.
        size: bytes that it has at most, before compression.
        complete: whether it is there.
    """

    path: Path
    layers: Sequence[Layer]
    tags: dict[str, str]
    classes: bool
    size: int
    complete: bool


@dataclass(frozen=True)
class Plan:
    """What is fetched.

    Attributes:
        target: to be cleared.
        others: that fill it.
        grid: of all files.
        files: in the order in which they are written: a mask before its image.
    """

    target: Dated
    others: Sequence[Dated]
    grid: Grid
    files: Sequence[File]


def plan(request: Request, folder: Path) -> Plan:
    """Search, choose, and look what is there already. Nothing is written.

    Raises:
        UserError: see `search`, `choose`, `check_types`, `grid_of` and `layers_of`; or the folder holds other files of
            these names.
    """
    items = search(request.api, request.collection, request.box, request.days)
    target, others = choose(items, request.box, request.target, request.count, request.most_cloud)
    with rasterio.Env(**http_settings(), **folder_settings(True)):
        layers = _layers(target.item, request.bands)
        check_types(layers)
        grid = grid_of(layers[0], request.box)
        files = [file for dated in (target, *others) for file in _files(dated, request, grid, folder)]
    return Plan(target, others, grid, files)


def fetch(plan: Plan, folder: Path) -> None:
    """Write the files of a plan that are not there, each complete or not at all.

    Raises:
        UserError: the folder cannot be made; see also `write_crop`.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot create this folder ({error.strerror}): give another one") from error
    todo = [file for file in plan.files if not file.complete]
    steps = sum(1 for _ in blocks(plan.grid)) * sum(len(file.layers) for file in todo)
    with progress_bar(folder.name, steps) as move, rasterio.Env(**GDAL_OPTIONS, **http_settings()):
        for file in todo:
            move(description=file.path.name)

            def moved(move: Callable[..., None] = move) -> None:
                move(advance=1)

            with rasterio.Env(**folder_settings(True)):
                write_crop(file.path, file.layers, plan.grid, file.tags, moved, classes=file.classes)


def _files(dated: Dated, request: Request, grid: Grid, folder: Path) -> list[File]:
    """Return the files of one day."""
    images, masks = _layers(dated.item, request.bands), []
    for kind in OWN:
        if asset := asset_of(dated.item, _address(dated.item), ASSETS[kind]):
            masks = [(folder / f"{dated.day}_{kind.upper()}.tif", [Layer(asset, kind)], True)]
            break
    found = []
    for path, layers, classes in (*masks, (folder / f"{dated.day}.tif", images, False)):
        tags = {
            "datetime": dated.day.isoformat(),
            "SOURCE": f"{dated.item.id} of {request.collection}, {redacted(request.api)}",
            RECIPE: json.dumps([__version__, request.collection, dated.item.id, [layer.name for layer in layers]]),
        }
        with open_raster(layers[0].path) as first:
            size = grid.width * grid.height * len(layers) * np.dtype(first.dtypes[0]).itemsize
        found.append(File(path, layers, tags, classes, size, _is_complete(path, grid, tags[RECIPE])))
    return found


def _layers(item: Any, bands: Sequence[str]) -> list[Layer]:
    """Return where the bands of an item are."""
    return layers_of(item, _address(item), bands)


def _address(item: Any) -> Path:
    """Return where an item is, for messages and for relative addresses of its assets."""
    return located(item.get_self_href() or item.id)


def _is_complete(path: Path, grid: Grid, recipe: str) -> bool:
    """Tell whether a file is there, down to its last block.

    Raises:
        UserError: there is another one of that name, or a damaged one.
    """
    if not path.exists():
        return False
    try:
        with rasterio.open(path) as file:
            if grid.is_of(file) and file.tags().get(RECIPE) == recipe:
                *_, last = blocks(grid)
                file.read(file.count, window=last)
                return True
    except RasterioError:
        pass
    raise UserError(
        f"{path}: is there already, damaged or of another box, item or bands: delete it, or choose another folder (-o)"
    )
