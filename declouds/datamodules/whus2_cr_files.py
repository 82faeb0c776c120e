"""File layout and published split of WHUS2-CR, read without torch for `declouds data check`."""

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path

from declouds.datamodules.pairs import BandFile, Pair, check_partners, images_in, natural_order, part_folders
from declouds.datamodules.published import PublishedSet, split_by_folder, split_by_place
from declouds.datamodules.sen12mscr_files import band_names_of
from declouds.errors import UserError

CLOUDY, CLEAR = "cloudDNclips", "clearDNclips"
# Pixels of 10 m on a side of a pixel, and the bands of a file, in order.
RESOLUTIONS = {
    "10m": (1, ("B02", "B03", "B04", "B08")),
    "20m": (2, ("B05", "B06", "B07", "B8A", "B11", "B12")),
    "60m": (6, ("B01", "B09", "B10")),
}
PLACES = {  # band -> resolution, and its number in the file
    band: (resolution, number) for resolution, (_, bands) in RESOLUTIONS.items() for number, band in enumerate(bands, 1)
}
TEST = (
    "R008_T30QVM", "R008_T32ULB", "R010_T19GEM", "R021_T38VPQ", "R030_T56HLH", "R033_T46SEJ", "R053_T20NQF",
    "R061_T48QTE", "R078_T37SDT", "R084_T13UCQ", "R086_T05VPJ", "R088_T53KLP", "R090_T47TNN", "R105_T43QDE",
    "R107_T34PEU", "R118_T51VVL", "R120_T41TPL", "R121_T34KFD", "R122_T33TUG", "R140_T17SKT",
)  # fmt: skip
VAL = (
    "R038_T22KHV", "R078_T38UNC", "R089_T50SQA", "R100_T07VEL", "R102_T54KXF", "R135_T35KRV", "R136_T32PRR",
    "R136_T35ULU", "R137_T30TUN", "R141_T12RXS",
)  # fmt: skip


def is_whus2_cr(root: Path) -> bool:
    """Tell whether a folder holds the parts of WHUS2-CR."""
    return any((part / CLOUDY / "10m").is_dir() for part in part_folders(root).values())


def whus2_cr(bands: Sequence[int] | None = None) -> PublishedSet:
    """Return WHUS2-CR: pairs of Sentinel-2 images in 13 bands, those of 20 and 60 m repeated to the grid of 10 m.

    The split ``published`` is by the scenes of the table in its document, whatever folder they lie in; ``folders`` is
    by the folders of the download, which differ from that table.

    Args:
        bands: Sentinel-2 bands to use, counted from 1.

    Raises:
        UserError: there is no such band.
    """
    names = band_names_of(bands)
    splits = {
        "published": partial(split_by_place, val=VAL, test=TEST),
        "folders": partial(split_by_folder, level=3),
    }
    return PublishedSet("WHUS2-CR", partial(_read, names=names), splits, (0.0, 10000.0), names)


def _read(root: Path, names: Sequence[str]) -> list[Pair]:
    if not is_whus2_cr(root):
        raise UserError(
            f"{root}: no folders train/{CLOUDY} and train/{CLEAR}, test/{CLOUDY} and so on: give the folder into which "
            "the archives of WHUS2-CRv are unpacked"
        )
    pairs = []
    for part in part_folders(root).values():
        scenes = [path for path in (part / CLOUDY / "10m").glob("*") if path.is_dir()]
        for scene in sorted(scenes, key=lambda path: natural_order(path.name)):
            numbers = images_in(scene)
            sides = []
            for side in (part / CLOUDY, part / CLEAR):
                folders = {resolution: side / resolution / scene.name for resolution in RESOLUTIONS}
                images = {resolution: images_in(folder) for resolution, folder in folders.items()}
                for resolution, found in images.items():
                    check_partners(scene, numbers, folders[resolution], found)
                sides.append(images)
            for number in numbers:
                cloudy, clear = ({res: found[number] for res, found in images.items()} for images in sides)
                pairs.append(Pair(f"{scene.name}_{number}", _band_files(cloudy, names), _band_files(clear, names)))
    return pairs


def _band_files(files: Mapping[str, Path], names: Sequence[str]) -> tuple[BandFile, ...]:
    """Return what holds the bands of an image, in the order of their names; ``files`` are resolution -> path."""
    together = groupby((PLACES[name] for name in names), key=lambda place: place[0])
    return tuple(
        BandFile(files[resolution], tuple(number for _, number in places), RESOLUTIONS[resolution][0])
        for resolution, places in together
    )
