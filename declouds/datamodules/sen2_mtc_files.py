"""File layouts and published splits of Sen2_MTC_New and Sen2_MTC_Old, read without torch for `declouds data check`."""

import glob
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from declouds.datamodules.pairs import BandFile, Pair, check_partners, images_in, natural_order
from declouds.datamodules.published import Parts, PublishedSet, split_by_place
from declouds.errors import UserError
from declouds.image_io import SUFFIXES
from declouds.sources import Source

DATES = 3
RGB = ("red", "green", "blue")
VAL = ("T22MCT_R024", "T34TDT_R036", "T39VIF_R078", "T43UGQ_R048", "T60KWF_R072")
TEST = (
    "T12TUR_R027", "T15UVU_R012", "T31TBG_R051", "T33VXG_R022", "T41UNR_R020",
    "T41VMJ_R006", "T46TEL_R033", "T50JML_R060", "T54HTJ_R102", "T56JMQ_R030",
)  # fmt: skip
OLD_SIZES = (2504, 313, 313)  # of train, val and test
OLD_SEED = 2022


def is_sen2_mtc_new(root: Path) -> bool:
    """Tell whether a folder holds the tiles of Sen2_MTC_New."""
    return bool(_tiles(root))


def is_sen2_mtc_old(root: Path) -> bool:
    """Tell whether a folder holds the images of Sen2_MTC_Old."""
    top = _old_top(root)
    clear = next((path for path in sorted(top.glob("clear/*")) if path.suffix.lower() in SUFFIXES), None)
    return clear is not None and any((top / "cloudy").glob(f"{glob.escape(clear.stem)}_0.*"))


def sen2_mtc_new(nir: bool = True) -> PublishedSet:
    """Return Sen2_MTC_New: three cloudy dates and a clear one, in red, green, blue and near infrared.

    The split is by tiles, as the lists of the authors have it: 34 to train on, 5 to validate, 10 to test.

    Args:
        nir: with near infrared.
    """
    names = (*RGB, "nir") if nir else RGB
    value_range = (0.0, 10000.0)  # reflectance 0 to 1
    sources = tuple(Source(f"date{date}", "optical", names, value_range) for date in range(1, DATES))
    split = partial(split_by_place, val=VAL, test=TEST)
    return PublishedSet("Sen2_MTC_New", partial(_read_new, nir=nir), {"published": split}, value_range, names, sources)


def sen2_mtc_old(nir: bool = True) -> PublishedSet:
    """Return Sen2_MTC_Old: three cloudy dates and a clear one as 8-bit pictures.

    Args:
        nir: with near infrared, which only the cloudy dates have: a source for each.
    """
    value_range = (0.0, 255.0)
    sources = [Source(f"date{date}", "optical", RGB, value_range) for date in range(1, DATES)]
    if nir:
        sources += [Source(f"nir{date}", "nir", ("nir",), value_range) for date in range(DATES)]
    read = partial(_read_old, nir=nir)
    return PublishedSet("Sen2_MTC_Old", read, {"published": published_old_split}, value_range, RGB, tuple(sources))


def published_old_split(pairs: Sequence[Pair]) -> Parts:
    """Return part -> pairs of Sen2_MTC_Old by the permutation that PMAA's authors draw (Zou et al., ECAI 2023).

    Raises:
        UserError: there are not the 3,130 pairs that it permutes.
    """
    import torch  # whose generator it is drawn from

    if len(pairs) != sum(OLD_SIZES):
        raise UserError(
            f"the published split of Sen2_MTC_Old divides {sum(OLD_SIZES)} images, and here are {len(pairs)}: unpack "
            "the archive again, or give a split of your own (split='split.json')"
        )
    ordered = sorted(pairs, key=lambda pair: pair.name)
    drawn = torch.randperm(len(ordered), generator=torch.Generator().manual_seed(OLD_SEED)).tolist()
    train, val, _ = OLD_SIZES
    places = {"train": drawn[:train], "val": drawn[train : train + val], "test": drawn[train + val :]}
    return {part: [ordered[place] for place in chosen] for part, chosen in places.items()}


def _tiles(root: Path) -> list[Path]:
    top = root / "Sen2_MTC" if (root / "Sen2_MTC").is_dir() else root
    folders = [path.parent for path in top.glob("T*_R*/cloudless") if path.is_dir()]
    return sorted(folders, key=lambda path: natural_order(path.name))


def _old_top(root: Path) -> Path:
    return root / "multipleImage" if (root / "multipleImage").is_dir() else root


def _read_new(root: Path, nir: bool) -> list[Pair]:
    tiles = _tiles(root)
    if not tiles:
        raise UserError(
            f"{root}: no folders Sen2_MTC/T12TUR_R027/cloudless and the like: give the folder of Sen2_MTC_New into "
            "which Sen2_MTC.zip is unpacked"
        )
    bands = (1, 2, 3, 4) if nir else (1, 2, 3)
    pairs = []
    for tile in tiles:
        clear, cloudy = images_in(tile / "cloudless"), images_in(tile / "cloud")
        check_partners(tile / "cloud", cloudy, tile / "cloudless", _dates_of(clear))
        for name, path in clear.items():
            first, *others = (BandFile(cloudy[f"{name}_{date}"], bands) for date in range(DATES))
            pairs.append(Pair(name, (first,), (BandFile(path, bands),), sources=tuple(others)))
    return pairs


def _read_old(root: Path, nir: bool) -> list[Pair]:
    top = _old_top(root)
    if not is_sen2_mtc_old(root):
        raise UserError(
            f"{root}: no folders multipleImage/clear and multipleImage/cloudy: give the folder of Sen2_MTC_Old into "
            "which multipleImage.tar.gz is unpacked"
        )
    clear, cloudy = images_in(top / "clear"), images_in(top / "cloudy")
    visible = {name: path for name, path in cloudy.items() if not name.endswith("_ir")}
    infrared = {name.removesuffix("_ir"): path for name, path in cloudy.items() if name.endswith("_ir")}
    wanted = _dates_of(clear)
    check_partners(top / "cloudy", visible, top / "clear", wanted)
    if nir:
        check_partners(top / "cloudy", infrared, top / "clear", wanted)
    pairs = []
    for name, path in clear.items():
        first, *others = (BandFile(visible[f"{name}_{date}"], (1, 2, 3)) for date in range(DATES))
        beside = [BandFile(infrared[f"{name}_{date}"], (1,)) for date in range(DATES)] if nir else []
        pairs.append(Pair(name, (first,), (BandFile(path, (1, 2, 3)),), sources=(*others, *beside)))
    return pairs


def _dates_of(clear: dict[str, Path]) -> dict[str, Path]:
    """Return the names that the cloudy images of clear ones have."""
    return {f"{name}_{date}": path for name, path in clear.items() for date in range(DATES)}
