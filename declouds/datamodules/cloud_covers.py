"""How much of each date of SEN12MS-CR-TS is cloud, by which its samples are chosen."""

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from declouds.atomic_file import replacing
from declouds.datamodules.sen12mscr_files import BAND_NAMES
from declouds.datamodules.sen12mscr_ts_files import VALUE_RANGE, check_whole, checked_places, dates_of, patches_of
from declouds.errors import UserError
from declouds.image_io import read_image
from declouds.registry import CLOUD_DETECTORS
from declouds.value_range import ValueRange


def write_covers(root: Path, path: Path, track: Callable[[Sequence[Path]], Iterable[Path]] = iter) -> int:
    """Write the share of cloud of every date of every patch, found by `CloudScore`, as JSON: name -> shares.

    Pixels that are 0 in all bands have no data, and count as cloud.

    Args:
        root: the folder of the data set.
        path: the file to write.
        track: can wrap the loop over the folders of dates in a progress bar.

    Returns:
        The number of patches.

    Raises:
        UserError: the file exists or cannot be written, ``root`` has another layout, or an image is damaged.
    """
    if path.exists():
        raise UserError(f"{path} already exists: choose another name, or remove it")
    if not path.parent.is_dir():
        raise UserError(f"{path.parent}: no such folder: create it, or choose another with -o")
    detect = CLOUD_DETECTORS.build(dict(type="CloudScore"), band_names=BAND_NAMES)
    places: dict[Path, str] = {}
    for place, region in checked_places(root):
        folders = dates_of(region, "S2")
        check_whole(folders, [patches_of(folder) for folder in folders])
        places |= dict.fromkeys(folders, place)
    covers: dict[str, list[float]] = {}
    try:
        with replacing(path) as temporary:
            temporary.touch()  # hours of work must not end in a folder that cannot be written to
            for folder in track(list(places)):
                for patch, file in patches_of(folder).items():
                    values = read_image(file)
                    if len(values) != len(BAND_NAMES):
                        raise UserError(f"{file}: has {len(values)} bands, and not 13: unpack the archive again")
                    cloud = detect(ValueRange(*VALUE_RANGE).to_model(values)) | ~values.any(axis=0)
                    covers.setdefault(f"{places[folder]}_{patch}", []).append(round(float(cloud.mean()), 4))
            temporary.write_text(json.dumps(covers), encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}): choose another folder with -o") from error
    return len(covers)
