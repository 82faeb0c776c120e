"""Simulated pairs: procedural land under simulated clouds, without a download."""

from typing import Any

import numpy as np

from declouds.datamodules.pair_data_module import PairDataModule
from declouds.datamodules.pair_dataset import Arrays, PairDataset, pairs_of
from declouds.errors import UserError
from declouds.registry import DATAMODULES
from declouds.simulation.clouds import CLOUDS, add_clouds
from declouds.simulation.scene import clear_scene
from declouds.simulation.simulated_scene import BAND_NAMES
from declouds.value_range import ValueRange

STREAM = {"train": 0, "val": 1, "test": 2}


class SimulatedDataset(PairDataset):
    """One part ('train', 'val', 'test') of `Simulated`, with the same arguments."""

    def __init__(
        self,
        part: str = "train",
        size: int = 64,
        bands: int = 3,
        cloud: str = "mixed",
        train: int = 512,
        val: int = 32,
        test: int = 32,
        seed: int = 0,
        cache: bool = True,
    ) -> None:
        if bands not in (3, 4):
            raise UserError(f"bands must be 3 (red, green, blue) or 4 (plus near infrared), got {bands}")
        if size < 8:
            raise UserError(f"size must be at least 8 pixels, got {size}")
        if cloud not in CLOUDS:
            raise UserError(f"unknown cloud={cloud!r}: known: {', '.join(CLOUDS)}")
        count = len(pairs_of({"train": range(train), "val": range(val), "test": range(test)}, part))
        names = [f"simulated_{cloud}_{size}px_{bands}b_seed{seed}_{part}_{index:05d}" for index in range(count)]
        bytes_in_memory = count * size * size * (2 * bands + 1)
        super().__init__(names, bands, ValueRange(0.0, 255.0), [(size, size)] * count, bytes_in_memory, cache)
        self.part, self.size, self.cloud, self.seed = part, size, cloud, seed

    def load(self, index: int) -> Arrays:
        """Simulate one pair; its pixels depend only on seed, part and index."""
        rng = np.random.default_rng([self.seed, STREAM[self.part], index])
        clear = clear_scene(rng, self.size, self.size, self.bands)
        cloudy, mask = add_clouds(clear, rng, self.cloud)
        return Arrays(_to_bytes(cloudy), _to_bytes(clear), mask[None])


@DATAMODULES.register_module()
class Simulated(PairDataModule):
    """Simulated 8-bit pairs with exact cloud masks: ``size`` x ``size`` pixels, 3 or 4 bands.

    ``cloud`` is 'thin' (a scattering veil, `declouds.simulation.thin_cloud`), 'thick' (opaque clouds with shadows,
    `declouds.simulation.thick_cloud`) or 'mixed'; ``train``, ``val`` and ``test`` are numbers of pairs. Each pair
    depends only on ``seed``, part and index, so all machines and processes get the same pairs.

    Raises:
        UserError: at ``setup``: an argument is out of range.
    """

    def __init__(self, bands: int = 3, batch_size: int = 1, num_workers: int = 0, **arguments: Any) -> None:
        super().__init__(SimulatedDataset, batch_size, num_workers, split_name="simulated", bands=bands, **arguments)
        self.band_names = BAND_NAMES[:bands]


def _to_bytes(image: np.ndarray) -> np.ndarray:
    return np.rint(image * 255).astype(np.uint8)
