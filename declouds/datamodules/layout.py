"""Recognise the folder layout of a data set."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from declouds.datamodules.clear_images import images_below
from declouds.datamodules.cuhk_cr_files import FOLDERS, cuhk_cr_pairs, find_top, nir_folder
from declouds.datamodules.pair_sources import sar_source, with_flags
from declouds.datamodules.pair_units import UNTOLD, Given
from declouds.datamodules.pairs import Pair, images_in, pairs_in, part_folders
from declouds.datamodules.published import PublishedSet
from declouds.datamodules.sen2_mtc_files import is_sen2_mtc_new, is_sen2_mtc_old, sen2_mtc_new, sen2_mtc_old
from declouds.datamodules.sen12mscr_files import is_sen12mscr, sen12mscr
from declouds.datamodules.sen12mscr_ts_files import is_sen12mscr_ts, sen12mscr_ts
from declouds.datamodules.splits import find_split
from declouds.datamodules.t_cloud_files import is_t_cloud, t_cloud
from declouds.datamodules.whus2_cr_files import is_whus2_cr, whus2_cr
from declouds.errors import UserError, some
from declouds.sources import Source

EXPECTED = """\
one folder, split by a file          folders, split already        CUHK-CR
  DIR/split.json                       DIR/train/cloud/7.png         DIR/CUHK-CR1/train/cloud/7.png
  DIR/cloud/7.png                      DIR/train/label/7.png         DIR/CUHK-CR1/train/label/7.png
  DIR/label/7.png                      DIR/test/cloud/7.png          DIR/CUHK-CR1/test/...
  DIR/mask/7.png (optional)            DIR/test/label/7.png          DIR/nir/CUHK-CR1/... (optional)
cloud/ and label/ can have other names: --cloudy NAME --clear NAME

SEN12MS-CR
  DIR/ROIs1970_fall_s2_cloudy/s2_cloudy_136/ROIs1970_fall_s2_cloudy_136_p139.tif
  DIR/ROIs1970_fall_s2/s2_136/ROIs1970_fall_s2_136_p139.tif
  DIR/ROIs1970_fall_s1/s1_136/ROIs1970_fall_s1_136_p139.tif (optional)

SEN12MS-CR-TS, after `declouds data covers DIR`
  DIR/ROIs1868/17/S2/0/s2_ROIs1868_17_ImgNo_0_2018-01-06_patch_0.tif
  DIR/ROIs1868/17/S1/0/s1_ROIs1868_17_ImgNo_0_2018-01-06_patch_0.tif (optional)

Sen2_MTC_New                                            Sen2_MTC_Old
  DIR/Sen2_MTC/T12TUR_R027/cloudless/T12TUR_R027_7.tif    DIR/multipleImage/clear/11WNR_50003000.jpg
  DIR/Sen2_MTC/T12TUR_R027/cloud/T12TUR_R027_7_0.tif      DIR/multipleImage/cloudy/11WNR_50003000_0.jpg

T-CLOUD                                                 WHUS2-CR
  DIR/train/cloud/7.png                                   DIR/train/cloudDNclips/10m/R008_T30QVM/7.tif
  DIR/train/reference/7.png                               DIR/train/clearDNclips/10m/R008_T30QVM/7.tif"""

# The test for each layout, and the function that describes the data set.
PUBLISHED: tuple[tuple[Callable[[Path], bool], Callable[[], PublishedSet]], ...] = (
    (is_sen2_mtc_new, sen2_mtc_new),
    (is_sen2_mtc_old, sen2_mtc_old),
    (is_sen12mscr_ts, sen12mscr_ts),
    (is_t_cloud, t_cloud),
    (is_whus2_cr, whus2_cr),
)


@dataclass
class Subset:
    """The pairs of one part of one data set, and the faults of the others."""

    data_set: str
    part: str
    pairs: list[Pair]
    faults: list[str]
    sources: tuple[Source, ...] = ()  # further ones, beside the image
    given: Given = UNTOLD  # units that the data set is known to have

    @property
    def title(self) -> str:
        """Name of the subset in messages."""
        return f"{self.data_set}/{self.part}" if self.part else self.data_set


def recognise(
    root: Path,
    cloudy: str = "cloud",
    clear: str = "label",
    mask: str = "mask",
    split: str | None = None,
    bands: Sequence[int] | None = None,
) -> list[Subset]:
    """Find the data sets below a folder; ``bands`` selects bands in plain folders of pairs.

    Faults such as images without a partner are listed in the subset, which then holds the remaining pairs. The list is
    empty if the folder has none of the layouts in `EXPECTED`.

    Raises:
        UserError: the folder does not exist, or ``bands`` are given for a published data set.
    """
    if not root.is_dir():
        raise UserError(f"{root}: no such folder: give the folder of a data set")
    if (cloudy, clear) == ("cloud", "label") and (published := list(_published(root, split))):
        if bands:
            raise UserError(f"{root} is {published[0].data_set}, of which all bands are checked: omit --bands")
        return published
    subsets = [*_cuhk_cr(root), *_sen12mscr(root, split, bands)]
    for name, folder in _plain_folders(root, cloudy).items():
        parts = {part: below for part, below in part_folders(folder).items() if (below / cloudy).is_dir()}
        for part, below in parts.items():
            subsets.append(Subset(name, part, *_matched(below, cloudy, clear, mask, bands)))
        if not parts:
            subsets += _split_subset(name, folder, split, *_matched(folder, cloudy, clear, mask, bands))
    return subsets


def unpaired(root: Path, bands: Sequence[int] | None = None) -> list[Subset]:
    """Return all images below a folder as one subset of clear images, as `CloudedImages` takes them.

    Raises:
        UserError: the folder does not exist or holds no image.
    """
    if not root.is_dir():
        raise UserError(f"{root}: no such folder: give the folder of a data set")
    chosen = tuple(bands) if bands else None
    images = [Pair.of(name, path, path, bands=chosen) for name, path in images_below([root]).items()]
    return [Subset("clear images", "", images, [])]


def _cuhk_cr(root: Path) -> Iterator[Subset]:
    for cloud, name in FOLDERS.items():
        try:
            folder = find_top(root, name) / name
        except UserError:
            continue
        try:
            parts = cuhk_cr_pairs(root, cloud, nir=any(nir_folder(folder, part) for part in part_folders(folder)))
        except UserError as error:
            yield Subset(name, "", [], [str(error)])
            continue
        for part, pairs in parts.items():
            yield Subset(name, part, pairs, [])


def _sen12mscr(root: Path, split: str | None, bands: Sequence[int] | None) -> Iterator[Subset]:
    if not is_sen12mscr(root):
        return
    sources = with_flags([sar_source()], dict(sar=0))  # files may be missing: they are counted
    given = Given((0, 10000))
    try:
        parts = sen12mscr(bands=bands).parts(root, "published" if split is None else split)
    except UserError as error:
        yield Subset("SEN12MS-CR", "", [], [str(error)])
        return
    yield from (Subset("SEN12MS-CR", part, found, [], sources, given) for part, found in parts.items() if found)


def _published(root: Path, split: str | None) -> Iterator[Subset]:
    for is_at, describe in PUBLISHED:
        if not is_at(root):
            continue
        data_set = describe()
        sources = with_flags(data_set.sources, {source.name: 0 for source in data_set.sources if source.kind == "sar"})
        try:
            parts = data_set.parts(root, split or "published")
        except UserError as error:
            yield Subset(data_set.name, "", [], [str(error)])
            continue
        for part, pairs in parts.items():
            if pairs:
                yield Subset(data_set.name, part, pairs, [], sources, Given(data_set.value_range))


def _plain_folders(root: Path, cloudy: str) -> dict[str, Path]:
    """Return name -> folder for each folder of pairs: the root, or RICE1 and RICE2 below it."""
    return {
        path.name: path
        for path in (root, root / "RICE1", root / "RICE2")
        if (path / cloudy).is_dir() or any((below / cloudy).is_dir() for below in part_folders(path).values())
    }


def _matched(
    folder: Path, cloudy: str, clear: str, mask: str, bands: Sequence[int] | None
) -> tuple[list[Pair], list[str]]:
    """Return the pairs of a folder, and the faults of its other images."""
    masks = mask if (folder / mask).is_dir() else None
    try:
        return pairs_in(folder, cloudy, clear, masks, bands), []
    except UserError as error:
        faults = [str(error)]
    try:
        clear_files, mask_files = images_in(folder / clear), images_in(folder / mask) if masks else {}
        cloudy_files = images_in(folder / cloudy)
    except UserError:
        return [], faults
    both = [name for name in cloudy_files if name in clear_files]
    chosen = tuple(bands) if bands else None
    return [Pair.of(name, cloudy_files[name], clear_files[name], mask_files.get(name), chosen) for name in both], faults


def _split_subset(name: str, folder: Path, split: str | None, pairs: list[Pair], faults: list[str]) -> Iterator[Subset]:
    """Divide the pairs by the split file, if there is one."""
    if split is None and not (folder / "split.json").is_file():
        yield Subset(name, "", pairs, faults)
        return
    try:
        chosen = find_split(split or "split.json", folder)
    except UserError as error:
        yield Subset(name, "", pairs, [*faults, str(error)])
        return
    by_name = {pair.name: pair for pair in pairs}
    for part, names in chosen.parts.items():
        missing = [image for image in names if image not in by_name]
        if missing:
            faults = [f"{folder}: split {chosen.name} lists {part} images that do not exist: {some(missing)}", *faults]
        yield Subset(name, part, [by_name.pop(image) for image in names if image in by_name], faults)
        faults = []
    if by_name:
        yield Subset(name, "in no part", list(by_name.values()), [])
