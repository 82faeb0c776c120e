"""Base class of all data modules of pairs."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn
from torchgeo.datamodules import NonGeoDataModule

from declouds.argument_kinds import check_arguments
from declouds.datamodules.pair_dataset import PairDataset, check_cache
from declouds.datamodules.splits import digest
from declouds.errors import UserError
from declouds.sources import Source, image_source
from declouds.units import Units
from declouds.value_range import ValueRange

PARTS_OF_STAGE = {
    "fit": ("train", "val"),
    "validate": ("val",),
    "test": ("test",),
    None: ("train", "val", "test"),
}


class PairDataModule(NonGeoDataModule):
    """Training, validation and test pairs; ``setup`` reads only headers.

    After ``setup(stage)``: ``train_dataset`` and ``val_dataset`` for 'fit', ``test_dataset`` for 'test', all three for
    None; and ``bands``, ``value_range``, ``units``, ``inputs``. ``val_dataset`` is None if the data have
    no validation part.
    """

    band_names: tuple[str, ...] = ()
    # Arguments for the location and reading of the data: with the same `content` they do not affect results.
    places: tuple[str, ...] = ("root", "split", "num_workers", "batch_size", "cache")
    takes_files = False  # whether ``root`` may be files

    def __init__(
        self,
        dataset_class: type[PairDataset],
        batch_size: int = 1,
        num_workers: int = 0,
        split_name: str = "folders",
        **kwargs: Any,
    ) -> None:
        # Wrong arguments fail here, not at setup.
        check_arguments(PairDataModule, dict(batch_size=batch_size, num_workers=num_workers))
        check_cache(kwargs.get("cache", True))
        check_arguments(dataset_class, kwargs)
        inspect.signature(dataset_class).bind(part="train", **kwargs)
        super().__init__(dataset_class, batch_size, num_workers, **kwargs)
        self.pair_dataset_class: Callable[..., PairDataset] = dataset_class
        self.split_name = split_name
        # TorchGeo's default divides `image` by 255; ours are already normalised.
        self.aug = nn.Identity()

    def setup(self, stage: str | None = None) -> None:
        """Build the data sets of a stage: 'fit', 'validate', 'test', or None for all.

        Raises:
            UserError: ``root`` is missing, or the data are inconsistent; found from headers, before any pixel is read.
        """
        if stage not in PARTS_OF_STAGE:
            raise UserError(f"unknown stage {stage!r}: known: 'fit', 'validate', 'test' and None (all)")
        roots = self.kwargs.get("root")
        for root in roots if isinstance(roots, list | tuple) else [roots]:
            if root is not None and not (Path(root).is_dir() or (self.takes_files and Path(root).is_file())):
                raise UserError(
                    f"root={str(root)!r}: {Path(root).absolute()} is no folder: give the folder of the data set"
                )
        for part in PARTS_OF_STAGE[stage]:
            dataset = self.pair_dataset_class(part=part, **self.kwargs)
            if part == "test" and self.kwargs.get("cache", True) is True:
                dataset.keeps_files = False  # they are read once a test
            setattr(self, f"{part}_dataset", dataset if len(dataset) else None)
        self._check_same_bands()

    @property
    def bands(self) -> int:
        """Number of bands of an image."""
        return self._any_dataset().bands

    @property
    def value_range(self) -> ValueRange:
        """The sensor values that map to -1 and 1."""
        return self._any_dataset().value_range

    @property
    def units(self) -> Units:
        """Scale and offset by which stored values become sensor values."""
        return self._any_dataset().units

    @property
    def inputs(self) -> tuple[Source, ...]:
        """The sources of the input: the image, and what else a network is shown, in order."""
        image = image_source(self.bands, self.band_names, self.value_range)
        return (image, *self._any_dataset().sources)

    def split_record(self) -> dict[str, dict[str, Any]]:
        """Return part -> number of pairs, SHA-256 of their sorted names and name of the split, for the parts set up."""
        return {
            part: {"count": len(dataset), "digest": digest(dataset.names), "split": self.split_name}
            for part, dataset in self._datasets().items()
        }

    def content(self) -> dict[str, str]:
        """Return part -> SHA-256 of its files, independent of their paths, for the parts set up."""
        return {part: dataset.content() for part, dataset in self._datasets().items()}

    def _datasets(self) -> dict[str, PairDataset]:
        parts = {part: getattr(self, f"{part}_dataset") for part in PARTS_OF_STAGE[None]}
        return {part: dataset for part, dataset in parts.items() if dataset is not None}

    def _any_dataset(self) -> PairDataset:
        datasets = self._datasets()
        if not datasets:
            raise RuntimeError(f"{type(self).__name__}: no data set is set up: call setup() first")
        return next(iter(datasets.values()))

    def _check_same_bands(self) -> None:
        bands = {part: dataset.bands for part, dataset in self._datasets().items()}
        if len(set(bands.values())) > 1:
            listed = ", ".join(f"{part} {count}" for part, count in bands.items())
            raise UserError(f"the parts of the data set differ in bands ({listed}): select the same with `bands`")
