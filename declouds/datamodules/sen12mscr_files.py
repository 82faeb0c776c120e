"""File layout and published split of SEN12MS-CR, read without torch for `declouds data check`."""

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from declouds.datamodules.pair_sources import sar_source
from declouds.datamodules.pairs import BandFile, Pair, check_partners, images_in, natural_order
from declouds.datamodules.published import Parts, PublishedSet, split_by_place
from declouds.errors import UserError

BAND_NAMES = tuple("B01 B02 B03 B04 B05 B06 B07 B08 B8A B09 B10 B11 B12".split())
VALUE_RANGE = (0.0, 10000.0)  # reflectance 0 to 1
SCENE = re.compile(r"ROIs(\d+)_([a-z]+)_s2_cloudy")
TEST = (
    "ROIs1158_spring_31", "ROIs1158_spring_44", "ROIs1158_spring_106", "ROIs1158_spring_123", "ROIs1158_spring_140",
    "ROIs1868_summer_73", "ROIs1868_summer_119", "ROIs1970_fall_139", "ROIs2017_winter_63", "ROIs2017_winter_108",
)  # fmt: skip
VAL = (
    "ROIs1158_spring_17", "ROIs1868_summer_17", "ROIs1868_summer_19", "ROIs1868_summer_80", "ROIs1868_summer_127",
    "ROIs1970_fall_65", "ROIs2017_winter_22", "ROIs2017_winter_84", "ROIs2017_winter_107", "ROIs2017_winter_130",
)  # fmt: skip


def band_names_of(bands: Sequence[int] | None) -> tuple[str, ...]:
    """Return the names of Sentinel-2 bands, counted from 1; of all 13 for None.

    Raises:
        UserError: there is no such band.
    """
    odd = [band for band in bands or () if not 1 <= band <= len(BAND_NAMES)]
    if odd:
        raise UserError(f"bands={list(bands or ())}: no band {odd[0]}: choose from 1 to {len(BAND_NAMES)}")
    return tuple(BAND_NAMES[band - 1] for band in bands) if bands else BAND_NAMES


def is_sen12mscr(root: Path) -> bool:
    """Tell whether a folder holds the tree of SEN12MS-CR."""
    return any(SCENE.fullmatch(path.name) for path in root.glob("ROIs*_s2_cloudy"))


def sen12mscr(sar: bool = True, bands: Sequence[int] | None = None) -> PublishedSet:
    """Return SEN12MS-CR.

    Args:
        sar: with the Sentinel-1 image of each patch as a source.
        bands: Sentinel-2 bands to use, counted from 1.
    """
    return PublishedSet(
        "SEN12MS-CR",
        partial(sen12mscr_pairs, sar=sar, bands=bands),
        dict(published=published_split),
        VALUE_RANGE,
        band_names_of(bands),
        (sar_source(),) if sar else (),
    )


def sen12mscr_pairs(root: Path, sar: bool = False, bands: Sequence[int] | None = None) -> list[Pair]:
    """Return all pairs of SEN12MS-CR, called ``ROIs1970_fall_136_p139``: season, region and patch.

    ``root`` holds ``ROIs1970_fall_s2_cloudy/s2_cloudy_136/ROIs1970_fall_s2_cloudy_136_p139.tif`` and, in the same way,
    ``s2`` (the clear image) and ``s1`` (SAR).

    Args:
        root: the folder of the data set.
        sar: with the Sentinel-1 image as a source, None where there is no file.
        bands: Sentinel-2 bands to use, counted from 1.

    Raises:
        UserError: not this layout, or an image without a partner.
    """
    seasons = sorted(path for path in root.glob("ROIs*_s2_cloudy") if SCENE.fullmatch(path.name))
    if not seasons:
        raise UserError(f"{root}: no folders ROIs*_s2_cloudy: give the folder of SEN12MS-CR that holds them")
    chosen, pairs = tuple(bands) if bands else None, []
    for season in seasons:
        name = season.name.removesuffix("_s2_cloudy")
        for folder in sorted(season.glob("s2_cloudy_*"), key=lambda path: natural_order(path.name)):
            region = folder.name.removeprefix("s2_cloudy_")
            cloudy = _patches(folder, f"{name}_s2_cloudy_{region}")
            clear_folder = root / f"{name}_s2" / f"s2_{region}"
            clear = _patches(clear_folder, f"{name}_s2_{region}")
            check_partners(folder, cloudy, clear_folder, clear)
            radar_folder = root / f"{name}_s1" / f"s1_{region}"
            radar = _patches(radar_folder, f"{name}_s1_{region}") if sar and radar_folder.is_dir() else {}
            for patch, path in cloudy.items():
                sources = (BandFile(radar[patch]) if patch in radar else None,) if sar else ()
                images = BandFile(path, chosen), BandFile(clear[patch], chosen)
                pairs.append(Pair(f"{name}_{region}_{patch}", images[:1], images[1:], sources=sources))
    return pairs


def published_split(pairs: Sequence[Pair]) -> Parts:
    """Return part -> pairs by the regions of the published split; all regions that it does not list are ``train``.

    The 10 test regions are those of Ebel et al. 2020 (TGRS 59, 5866-5878), as their later code lists them, with 10 for
    validation (UnCRtainTS, Ebel et al. 2023, arXiv 2304.05464).
    """
    return split_by_place(pairs, VAL, TEST)


def _patches(folder: Path, prefix: str) -> dict[str, Path]:
    """Return patch, such as ``p139`` -> path."""
    files = images_in(folder)
    odd = [name for name in files if not name.startswith(f"{prefix}_p")]
    if odd:
        raise UserError(f"{folder}: {odd[0]} is not called {prefix}_pN: remove what is not of SEN12MS-CR")
    return {name.removeprefix(f"{prefix}_"): path for name, path in files.items()}
