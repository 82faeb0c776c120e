"""What data modules of published data sets share: the data set of one part, and the base of the modules."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from declouds.datamodules.file_pairs import FilePairDataset
from declouds.datamodules.pair_data_module import PairDataModule
from declouds.datamodules.pair_dataset import pairs_of
from declouds.datamodules.published import PublishedSet
from declouds.datamodules.splits import split_name, with_validation

TRUE_COLOUR = (("B04", "B03", "B02"), ("red", "green", "blue"))


class PublishedDataset(FilePairDataset):
    """One part ('train', 'val', 'test') of a published data set.

    ``drop`` and ``cloud_detector`` as for `FilePairDataset`, ``val`` as for `PairedFolder`, where the split has no
    validation pairs.
    """

    def __init__(
        self,
        data_set: PublishedSet,
        root: str | Path,
        part: str = "train",
        split: str | Path | Mapping[str, Any] = "published",
        val: float | str | None = 0.1,
        val_seed: int = 0,
        reduce: int = 1,
        drop: Mapping[str, float] | None = None,
        cloud_detector: Mapping[str, Any] | None = None,
        cache: bool | str | Path = True,
    ) -> None:
        names = data_set.band_names
        super().__init__(
            pairs_of(with_validation(data_set.parts(Path(root), split), val, val_seed), part),
            data_set.value_range,
            reduce,
            cache=cache,
            sources=data_set.sources,
            drop=drop,
            cloud_detector=cloud_detector,
            band_names=names,
        )
        for red, green, blue in TRUE_COLOUR:
            if {red, green, blue} <= set(names):
                self.rgb = (names.index(red), names.index(green), names.index(blue))


class PublishedDataModule(PairDataModule):
    """Base of the data modules of published data sets; ``arguments`` are those of `PublishedDataset`."""

    def __init__(
        self,
        data_set: PublishedSet,
        root: str | Path,
        split: str | Path | Mapping[str, Any] = "published",
        batch_size: int = 1,
        num_workers: int = 0,
        **arguments: Any,
    ) -> None:
        arguments |= dict(data_set=data_set, root=root, split=split)
        super().__init__(PublishedDataset, batch_size, num_workers, split_name=split_name(split), **arguments)
        self.band_names = data_set.band_names
