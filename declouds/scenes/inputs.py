"""What a user names as input, turned into scenes, each with the file that its result goes to."""

import datetime
import glob
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from declouds.errors import UserError, some
from declouds.scenes.rasters.date_file import day_of
from declouds.scenes.rasters.landsat import is_landsat
from declouds.scenes.rasters.picture import PICTURES, is_picture
from declouds.scenes.rasters.scene_file import open_scene, subdataset
from declouds.scenes.rasters.sentinel2 import is_safe
from declouds.scenes.rasters.web_path import PREFIXES, WebPath, located, redacted

SUFFIXES = (".tif", ".tiff", ".vrt", ".jp2")  # what is looked for in a folder
BESIDE = ("_quality.tif", "_scl.tif", "_qa_pixel.tif", "_udm2.tif")  # ends of names of files beside scenes


def find_scenes(inputs: Sequence[str], output: Path) -> list[tuple[Path, Path]]:
    """Return each scene with its destination, in the order of the inputs, and by name within one.

    An input is a file, an address on the web, a sub-dataset as GDAL names it (``NETCDF:"file.nc":Band1``), the folder
    of a Sentinel-2 or Landsat product, a folder whose rasters and products, or else PNG and JPEG files, are scenes (not
    those of folders in it), or a pattern such as ``2024/*.tif`` where the shell left it as it was.

    Args:
        inputs: what the user named.
        output: where results go. For one scene named by its path: the file, or a folder that exists. Else: a folder,
            which the caller makes if it does not exist.

    Returns:
        (source, destination): in a folder a result is called as its source, with the suffix .tif, or .png for a
        PNG or JPEG without georeference.

    Raises:
        UserError: an input or a scene in it does not exist; the output is a file and should be a folder; or two results
            would have one name.
    """
    if not inputs:
        raise UserError("no input is given: name a scene, a folder or a pattern")
    sources = list(dict.fromkeys(scene for given in inputs for scene in _scenes(given)))
    alone = len(inputs) == 1 and sources == [located(inputs[0])]
    if alone and not output.is_dir():
        return [(sources[0], output)]
    if not alone and (output.is_file() or (not output.exists() and output.suffix.lower() in (".tif", ".tiff", ".png"))):
        raise UserError(
            f"{output}: {' '.join(map(redacted, inputs))} can be several scenes: give a folder for the results"
        )
    found: dict[Path, Path] = {}
    for source in sources:
        inside = subdataset(source)
        stem = f"{inside[1].stem}_{inside[2]}" if inside else source.stem
        destination = output / (f"{stem}.png" if is_picture(source) else f"{stem}.tif")
        if destination in found:
            raise UserError(
                f"{found[destination]} and {source} would both go to {destination}: clear them apart, into two folders"
            )
        found[destination] = source
    return [(source, destination) for destination, source in found.items()]


def find_series(inputs: Sequence[str], target: str) -> tuple[Path, list[Path]]:
    """Return the scene of a day, and the other dates of the same place, in the order of their days.

    Args:
        inputs: what the user named, as for `find_scenes`.
        target: the day, as 2018-07-05.

    Raises:
        UserError: that is no day; no scene or more than one was taken on it; it is the only one; or the day of a scene
            is not known.
    """
    try:
        wanted = datetime.date.fromisoformat(target)
    except ValueError as error:
        raise UserError(f"--target {target}: is no day: write it as 2018-07-05") from error
    days: dict[Path, datetime.date] = {}
    for path in dict.fromkeys(scene for given in inputs for scene in _scenes(given)):
        with open_scene(path) as scene:
            day = day_of(scene, path)
        if day is None:
            raise UserError(
                f"{path}: neither its tags nor its name say when it was taken: put the day into its name, as in "
                "scene_2018-07-05.tif"
            )
        days[path] = day
    of_that_day = [path for path, day in days.items() if day == wanted]
    if len(of_that_day) != 1:
        found = f"{len(of_that_day)} scenes, {some(list(map(str, of_that_day)))}," if of_that_day else "no scene"
        raise UserError(f"--target {target}: {found} of that day: there are {some(sorted(map(str, days.values())))}")
    others = sorted((path for path in days if path not in of_that_day), key=lambda path: days[path])
    if not others:
        raise UserError(f"--target {target}: {of_that_day[0]} is the only scene: give the folder of all dates")
    return of_that_day[0], others


def _scenes(given: str) -> Iterator[Path]:
    """Yield the scenes of one input."""
    path = located(given)
    if isinstance(path, WebPath):
        if "*" in path.name:
            raise UserError(f"{path}: a pattern finds files on this machine alone: name each file on the web")
        yield path
    elif path.exists():
        yield from _in_folder(path) if path.is_dir() and not _is_product(path) else [path]
    elif subdataset(path):
        yield path
    elif re.match(r"[a-z][a-z0-9+.-]+://|/vsi", given, re.IGNORECASE):
        raise UserError(
            f"{redacted(given)}: files are read from addresses that begin with {', '.join(PREFIXES)}: give such a one, "
            "or download it, and give the file"
        )
    elif not glob.has_magic(given):
        raise UserError(f"{given}: no such file: check the path")
    else:
        matches = [match for match in sorted(glob.glob(given, recursive=True)) if not _is_beside(match)]
        if not matches:
            raise UserError(f"{given}: no scene has a name of that pattern: check it")
        for match in matches:
            yield from _scenes(match)


def _is_beside(name: str) -> bool:
    """Tell whether a file is called like the quality of a result, or the mask of a product."""
    return name.lower().endswith(BESIDE)


def _is_product(path: Path) -> bool:
    """Tell whether a folder is one scene."""
    return is_safe(path) or is_landsat(path)


def _in_folder(folder: Path) -> list[Path]:
    """Return the scenes in a folder: its rasters and products, or its PNG and JPEG files if it has neither.

    Beside rasters, those are quick-looks.
    """
    files = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]  # unfinished work begins so
    files = [path for path in files if not _is_beside(path.name)]
    scenes = [path for path in files if (_is_product(path) if path.is_dir() else path.suffix.lower() in SUFFIXES)]
    scenes = scenes or [path for path in files if path.suffix.lower() in PICTURES and path.is_file()]
    if not scenes:
        raise UserError(
            f"{folder}: holds no scene ({', '.join(SUFFIXES)}, .SAFE) and no picture ({', '.join(PICTURES)}): check "
            "the path, or name the files"
        )
    return scenes
