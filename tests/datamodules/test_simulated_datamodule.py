import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from declouds.datamodules.simulated import Simulated, SimulatedDataset
from declouds.errors import UserError
from declouds.registry import DATAMODULES


@pytest.mark.parametrize("cloud", ["thin", "thick", "mixed"])
def test_samples_keep_the_contract(cloud):
    module = DATAMODULES.build(
        {"type": "Simulated", "size": 40, "bands": 4, "cloud": cloud, "train": 5, "val": 2, "test": 3}
    )
    module.setup()
    assert [len(d) for d in (module.train_dataset, module.val_dataset, module.test_dataset)] == [5, 2, 3]
    assert module.bands == 4 and module.band_names == ("red", "green", "blue", "nir")
    assert (module.value_range.low, module.value_range.high) == (0, 255)
    for sample in (module.train_dataset[i] for i in range(5)):
        assert sample["cloudy"].shape == sample["clear"].shape == (4, 40, 40) and sample["mask"].shape == (1, 40, 40)
        assert sample["cloudy"].dtype == sample["mask"].dtype == torch.float32
        assert sample["cloudy"].abs().max() <= 1
        cloudless = (sample["mask"] == 0).expand(4, -1, -1)
        if cloud == "thin":
            assert torch.equal(sample["cloudy"][cloudless], sample["clear"][cloudless])
        else:  # outside the clouds there is nothing but shadow
            assert (sample["cloudy"][cloudless] <= sample["clear"][cloudless]).all()
    assert [axis.get_title() for axis in module.plot(sample).axes] == ["cloudy", "clear", "mask"]


def test_a_sample_depends_on_seed_part_and_index_alone():
    one, other = (SimulatedDataset(size=32, train=6) for _ in range(2))
    later = SimulatedDataset(size=32, train=100, cache=False)
    for index in (5, 0, 3):  # in any order
        assert torch.equal(one[index]["cloudy"], other[index]["cloudy"])
        assert torch.equal(one[index]["cloudy"], later[index]["cloudy"])
    different = [SimulatedDataset(size=32, seed=1), SimulatedDataset("val", size=32), SimulatedDataset("test", size=32)]
    for dataset in different:
        assert not torch.equal(dataset[0]["clear"], one[0]["clear"])


def test_worker_processes_make_the_same_samples():
    dataset = SimulatedDataset(size=32, train=4)
    batch = next(iter(DataLoader(dataset, batch_size=4, num_workers=2)))
    assert torch.equal(batch["cloudy"], torch.stack([dataset[i]["cloudy"] for i in range(4)]))


def test_thin_clouds_brighten_blue_most_on_average():
    dataset = SimulatedDataset(size=48, bands=4, cloud="thin", train=40)
    samples = [dataset[i] for i in range(40)]
    red, green, blue, nir = np.mean([(s["cloudy"] - s["clear"]).mean((1, 2)).numpy() for s in samples], axis=0)
    assert blue > green > red > 0.1 and red > nir


def test_names_tell_the_generators_settings_and_so_does_the_record():
    records = []
    for arguments in ({}, {"seed": 1}, {"size": 48}, {"cloud": "thin"}, {"train": 9}):
        module = Simulated(**{"train": 8, "size": 32, **arguments})
        module.setup("fit")
        assert len(set(module.train_dataset.names)) == len(module.train_dataset)
        records.append(module.split_record()["train"]["digest"])
    assert len(set(records)) == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bands": 2}, "bands must be 3 .* or 4"),
        ({"size": 4}, "size must be at least 8 pixels"),
        ({"cloud": "fog"}, "known: thin, thick, mixed"),
        ({"train": 0}, "no train images"),
    ],
)
def test_wrong_settings_are_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        Simulated(**arguments).setup("fit")


def test_no_validation_is_none():
    module = Simulated(val=0)
    module.setup("fit")
    assert module.val_dataset is None
