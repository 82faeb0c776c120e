"""File layouts of CUHK-CR, read without torch for `declouds data check`."""

from pathlib import Path

from declouds.datamodules.pairs import PARTS, BandFile, Pair, check_partners, images_in, pairs_in
from declouds.errors import UserError

FOLDERS = {"thin": "CUHK-CR1", "thick": "CUHK-CR2"}
RGB = (1, 2, 3)


def cuhk_cr_pairs(root: Path, cloud: str, nir: bool) -> dict[str, list[Pair]]:
    """Return part -> pairs of CUHK-CR1 (thin) or CUHK-CR2 (thick).

    ``root`` holds ``CUHK-CR1/{train,test}/{cloud,label}/N.png``, or is its parent folder (``C-CUHK`` in the archive,
    with a suffix in some copies). Near infrared is in ``nir/CUHK-CR1/{train,test}/{cloud,label}/N.png`` (archive) or
    ``CUHK-CR1/{train,test}/nir/{cloud,label}/N.png`` (official code), as grey in three equal bands, of which the first
    is used.

    Raises:
        UserError: a folder is missing, or an image has no partner.
    """
    if cloud not in FOLDERS:
        raise UserError(f"cloud={cloud!r}: CUHK-CR has 'thin' (CR1) and 'thick' (CR2)")
    folder = find_top(root, FOLDERS[cloud]) / FOLDERS[cloud]
    present = [part for part in PARTS if (folder / part).is_dir()]
    if not present:
        raise UserError(f"{folder}: no folders train/ and test/: unpack the archive again")
    parts = {part: pairs_in(folder / part, bands=RGB) for part in present}
    return {part: _with_nir(pairs, folder, part) for part, pairs in parts.items()} if nir else parts


def find_top(root: Path, name: str) -> Path:
    """Return the folder that holds ``name``: ``root`` or its only subfolder that does.

    Raises:
        UserError: no folder holds it, or several do.
    """
    if (root / name).is_dir():
        return root
    below = sorted(path.parent for path in root.glob(f"*/{name}") if path.is_dir() and path.parent.name != "nir")
    if len(below) == 1:
        return below[0]
    if below:
        raise UserError(f"{root}: {name} is in {', '.join(path.name for path in below)}: give one of these folders")
    raise UserError(f"{root}: no folder {name}/: give the folder C-CUHK of the unpacked archive")


def nir_folder(folder: Path, part: str) -> Path | None:
    """Return the folder of a part's near-infrared images, if it exists; ``folder`` is that of CUHK-CR1 or CR2."""
    return next((path for path in _nir_folders(folder, part) if path.is_dir()), None)


def _nir_folders(folder: Path, part: str) -> tuple[Path, Path]:
    return folder.parent / "nir" / folder.name / part, folder / part / "nir"


def _with_nir(pairs: list[Pair], folder: Path, part: str) -> list[Pair]:
    """Append the first band of the near-infrared image to both images of each pair."""
    source = nir_folder(folder, part)
    if source is None:
        tried = " nor ".join(str(path) for path in _nir_folders(folder, part))
        raise UserError(f"nir=True, but neither {tried} exists: unpack it, or set nir=False")
    infrared = {}
    for side in ("cloud", "label"):
        infrared[side] = images_in(source / side)
        visible = {pair.name: pair.cloudy[0].path for pair in pairs}
        check_partners(folder / part / side, visible, source / side, infrared[side])
    return [
        Pair(
            pair.name,
            (*pair.cloudy, BandFile(infrared["cloud"][pair.name], (1,))),
            (*pair.clear, BandFile(infrared["label"][pair.name], (1,))),
            pair.mask,
        )
        for pair in pairs
    ]
