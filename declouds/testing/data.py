"""The contract of data modules."""

from typing import Any

import torch
from torch.utils.data import DataLoader

from declouds.registry import DATAMODULES
from declouds.testing.parts import check_description, require


def check_datamodule(config: dict) -> None:
    """Check the samples of every part: shapes, data types and ranges, unique names, and batching."""
    check_description(DATAMODULES, config)
    data = DATAMODULES.build(config)
    data.setup("fit")
    require(len(data.train_dataset) > 0, "the training set must not be empty after setup('fit')")
    data.setup()
    require(data.band_names == () or len(data.band_names) == data.bands, "there must be one band name per band")
    datasets = {part: getattr(data, f"{part}_dataset") for part in ("train", "val", "test")}
    datasets = {part: dataset for part, dataset in datasets.items() if dataset is not None}
    names: list[str] = []
    for part, dataset in datasets.items():
        names.extend(dataset[index]["name"] for index in range(len(dataset)))
        _check_sample(dataset[0], data.bands)
        once, again = dataset[0], dataset[0]
        require(
            torch.equal(once["cloudy"], again["cloudy"]), f"reading a sample of {part} again must give the same values"
        )
        batch = next(iter(DataLoader(dataset, batch_size=1)))
        require(batch["cloudy"].shape == (1, *once["cloudy"].shape), f"the samples of {part} must form batches")
        require(data.split_record()[part]["count"] == len(dataset), "split_record() must give the number of pairs")
    if hasattr(data.train_dataset, "draw"):
        once, again = (data.train_dataset.draw(0, 1) for _ in range(2))
        _check_sample(once, data.bands)
        require(torch.equal(once["cloudy"], again["cloudy"]), "draw(index, seed) must give the same for the same seed")
    require(len(set(names)) == len(names), "names must be unique within and between parts")


def _check_sample(sample: dict[str, Any], bands: int) -> None:
    shape = sample["cloudy"].shape
    same_size = len(shape) == 3 and sample["clear"].shape == (bands, *shape[1:])
    require(same_size, "cloudy and clear must be (C, H, W) of the same size")
    for key in ("cloudy", "clear"):
        image = sample[key]
        require(image.dtype == torch.float32 and bool((image.abs() <= 1).all()), f"{key} must be float32 in [-1, 1]")
    require(isinstance(sample["name"], str), "name must be a string")
    if "mask" in sample:
        mask = sample["mask"]
        require(mask.shape == (1, *shape[1:]) and mask.dtype == torch.float32, "mask must be float32 (1, H, W)")
        require(bool(((mask == 0) | (mask == 1)).all()), "mask values must be 0 or 1")
