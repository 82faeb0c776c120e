"""Your own pairs: a folder of cloudy images and a folder of clear ones."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from declouds.argument_kinds import check_arguments
from declouds.datamodules.file_pairs import FilePairDataset
from declouds.datamodules.folder_sources import folder_sources
from declouds.datamodules.pair_data_module import PairDataModule
from declouds.datamodules.pair_dataset import pairs_of
from declouds.datamodules.pair_units import PairUnits
from declouds.datamodules.pairs import PARTS, Pair, pairs_in, part_folders, read_header
from declouds.datamodules.splits import choose, find_split, split_name, with_validation
from declouds.errors import UserError
from declouds.registry import DATAMODULES
from declouds.sources import Source, image_source
from declouds.value_range import ValueRange


class PairedFolderDataset(FilePairDataset):
    """One part ('train', 'val', 'test') of `PairedFolder`, with the same arguments."""

    def __init__(
        self,
        root: str | Path,
        part: str = "train",
        split: str | Path | Mapping[str, Any] = "split.json",
        cloudy: str = "cloud",
        clear: str = "label",
        mask: str | None = None,
        bands: Sequence[int] | None = None,
        value_range: ValueRange | Sequence[float] | None = None,
        val: float | str | None = 0.1,
        val_seed: int = 0,
        reduce: int = 1,
        mask_above: float = 0,
        cache: bool | str | Path = True,
        scale: float | None = None,
        offset: float | None = None,
        sources: Mapping[str, Any] | None = None,
        match: str | None = None,
        drop: Mapping[str, float] | None = None,
        cloud_detector: Mapping[str, Any] | None = None,
        band_names: Sequence[str] = (),
    ) -> None:
        folders = folder_sources(sources)
        own = None if bands is None else tuple(bands)
        beside = [(one.folder, own if one.kind == "optical" and one.bands is None else one.bands) for one in folders]
        found = dict(cloudy=cloudy, clear=clear, mask=mask, bands=bands, match=match, sources=beside)
        pairs = pairs_of(with_validation(split_pairs(Path(root), split, **found), val, val_seed), part)
        described: list[Source] = []
        if folders and pairs:
            header = read_header(pairs[0])
            units = PairUnits.of(pairs[:1], [header], value_range, scale, offset)
            image = image_source(header.bands, band_names, units.value_range)
            described = [folder.source(image) for folder in folders]
        super().__init__(
            pairs,
            value_range,
            reduce,
            mask_above,
            cache,
            scale,
            offset,
            sources=described,
            drop=drop if pairs else None,
            cloud_detector=cloud_detector,
            band_names=band_names,
        )


@DATAMODULES.register_module()
class PairedFolder(PairDataModule):
    """Your own pairs: ``root/cloud/*`` and ``root/label/*``, matched by file name; PNG, JPEG or GeoTIFF.

    ``split`` is a JSON file (relative to ``root`` or the working directory), the name of a shipped split,
    ``dict(train='train.txt', test='test.txt')`` for lists of names, or 'folders' for
    ``root/train/{cloud,label}`` and ``root/test/{cloud,label}`` (and ``val``). If the split has no validation pairs,
    ``val`` defines them: a held-out fraction of the training pairs (default 0.1), 'test' or None: `with_validation`.
    ``bands`` selects and orders bands, counted from 1: ``[4, 3, 2]`` is true colour for Sentinel-2's 13; by default all
    but alpha. Any data type is read; ``value_range`` are the sensor values that map to -1 and 1, required unless uint8
    (0 to 255). ``mask`` names a folder of cloud masks; for ``reduce``, ``mask_above``, ``scale``, ``offset``,
    ``cache``, ``drop`` and ``cloud_detector`` see `FilePairDataset`.

    ``sources=dict(sar='s1', dates=['d1', 'd2'])`` are folders of further inputs: see `folder_sources`. Names that
    differ between folders are matched by what the regular expression ``match`` finds in them: see `pairs_in`.

    Raises:
        UserError: at ``setup``, from names and headers: bad folders, partners, sizes, bands or split.
    """

    def __init__(
        self,
        root: str | Path,
        split: str | Path | Mapping[str, Any] = "split.json",
        band_names: Sequence[str] = (),
        batch_size: int = 1,
        num_workers: int = 0,
        **arguments: Any,
    ) -> None:
        check_arguments(PairedFolder, dict(band_names=band_names))
        super().__init__(
            PairedFolderDataset,
            batch_size,
            num_workers,
            split_name=split_name(split),
            root=root,
            split=split,
            band_names=band_names,
            **arguments,
        )
        self.band_names = tuple(band_names)

    def setup(self, stage: str | None = None) -> None:
        """Build the data sets of a stage, and check the number of band names."""
        super().setup(stage)
        if self.band_names and len(self.band_names) != self.bands:
            raise UserError(f"band_names={self.band_names}: the images have {self.bands} bands: give one name per band")


def split_pairs(root: Path, split: str | Path | Mapping[str, Any], **folders: Any) -> dict[str, list[Pair]]:
    """Return part -> pairs of a folder, from its ``train`` and ``test`` folders or a split file.

    ``folders`` are the arguments of `pairs_in`.

    Raises:
        UserError: missing folder, image without a partner, or a split that does not fit.
    """
    if split != "folders":
        chosen = find_split(split, root)
        pairs = pairs_in(root, **folders)
        return {part: choose(pairs, chosen, part) for part in chosen.parts}
    below = part_folders(root)
    if not below:
        raise UserError(f"{root}: has none of the folders {', '.join(PARTS)}, which split='folders' needs")
    return {part: pairs_in(folder, **folders) for part, folder in below.items()}
