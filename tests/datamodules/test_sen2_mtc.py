"""Sen2_MTC in its published trees: dates as sources, splits by tiles and by the published permutation, `data check`."""

import argparse
from pathlib import Path

import numpy as np
import pytest
import torch

from declouds.commands import data
from declouds.datamodules import sen2_mtc_files
from declouds.datamodules.layout import recognise
from declouds.datamodules.sen2_mtc import Sen2MTC
from declouds.datamodules.sen2_mtc_files import TEST, VAL
from declouds.datamodules.splits import digest
from declouds.errors import UserError
from declouds.image_io import read_image, write_image


def write(path, bands, seed, dtype="uint16", highest=5000):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, np.random.default_rng(seed).integers(1, highest, (bands, 16, 24)).astype(dtype))


@pytest.fixture
def new(tmp_path):
    """One image for training, validation and test each, and a second one of the training tile."""
    for number, name in enumerate(("T49SCC_R018_0", "T49SCC_R018_10", "T22MCT_R024_3", "T12TUR_R027_7")):
        tile = tmp_path / "Sen2_MTC" / name.rpartition("_")[0]
        write(tile / "cloudless" / f"{name}.tif", 4, [number, 9])
        for date in range(3):
            write(tile / "cloud" / f"{name}_{date}.tif", 4, [number, date])
    return tmp_path


@pytest.fixture
def old(tmp_path):
    """Ten images; the names have one to three digits, as the published ones differ in length."""
    top = tmp_path / "multipleImage"
    for number in range(10):
        name = f"11WNR_{number * 1000}"
        write(top / "clear" / f"{name}.png", 3, [number, 9], "uint8", 255)
        for date in range(3):
            write(top / "cloudy" / f"{name}_{date}.png", 3, [number, date], "uint8", 255)
            write(top / "cloudy" / f"{name}_{date}_ir.png", 1, [number, date, 1], "uint8", 255)
    return tmp_path


def check(root, *arguments):
    parser = argparse.ArgumentParser()
    data.add_arguments(parser)
    data.run(parser.parse_args(["check", str(root), *arguments]))


def set_up(*args, **kwargs):
    module = Sen2MTC(*args, **kwargs)
    module.setup()
    return module


def test_the_input_is_three_dates(new):
    module = set_up(new)
    (sample,) = module.test_dataset
    assert sample["name"] == "T12TUR_R027_7"
    assert sample["cloudy"].shape == (12, 16, 24) and sample["clear"].shape == (4, 16, 24) and "mask" not in sample
    tile = new / "Sen2_MTC/T12TUR_R027"
    stored = [read_image(tile / f"cloud/T12TUR_R027_7_{date}.tif") for date in range(3)]
    np.testing.assert_allclose(sample["cloudy"], np.concatenate(stored) / 5000 - 1, atol=1e-6)
    np.testing.assert_allclose(sample["clear"], read_image(tile / "cloudless/T12TUR_R027_7.tif") / 5000 - 1, atol=1e-6)
    assert [(source.name, source.kind) for source in module.inputs] == [
        ("image", "optical"),
        ("date1", "optical"),
        ("date2", "optical"),
    ]
    assert all(source.bands == ("red", "green", "blue", "nir") for source in module.inputs)
    assert set_up(new, nir=False).test_dataset[0]["cloudy"].shape == (9, 16, 24)


def test_the_split_is_by_published_tiles(new):
    assert len({*TEST, *VAL}) == 15
    module = set_up(new)
    assert module.train_dataset.names == ("T49SCC_R018_0", "T49SCC_R018_10")
    assert module.val_dataset.names == ("T22MCT_R024_3",)
    record = module.split_record()["test"]
    assert record == dict(count=1, digest=digest(["T12TUR_R027_7"]), split="published")
    own = dict(train=["T12TUR_R027_7"], test=["T22MCT_R024_3"])
    assert set_up(new, split=own, val=None).train_dataset.names == ("T12TUR_R027_7",)
    assert set_up(new / "Sen2_MTC").test_dataset.names == ("T12TUR_R027_7",)


def test_a_date_can_be_dropped(new):
    train = set_up(new, drop=dict(date2=0.5)).train_dataset
    samples = [train.draw(0, seed)["cloudy"] for seed in range(40)]
    missing = [bool((sample[12] == -1).all()) for sample in samples]
    assert samples[0].shape[0] == 13 and 8 < sum(missing) < 32
    with pytest.raises(UserError, match=r"drop: no source 'date3': did you mean 'date[12]'\?"):
        set_up(new, drop=dict(date3=0.5))


def test_a_plot_shows_every_date(new):
    dataset = set_up(new).test_dataset
    figure = dataset.plot(dataset[0])
    assert [axis.get_title() for axis in figure.axes] == ["cloudy", "date1", "date2", "clear"]
    shown = figure.axes[1].images[0].get_array()
    np.testing.assert_allclose(shown, np.moveaxis((dataset[0]["cloudy"][4:7].numpy() + 1) / 2, 0, -1), atol=1e-6)


def test_old_has_near_infrared_of_the_cloudy_dates_alone(old, monkeypatch):
    monkeypatch.setattr(sen2_mtc_files, "OLD_SIZES", (6, 2, 2))
    module = set_up(old, version="old")
    sample = module.test_dataset[0]
    assert sample["cloudy"].shape == (12, 16, 24) and sample["clear"].shape == (3, 16, 24)
    assert [source.name for source in module.inputs] == ["image", "date1", "date2", "nir0", "nir1", "nir2"]
    stored = read_image(old / f"multipleImage/cloudy/{sample['name']}_2_ir.png")
    np.testing.assert_allclose(sample["cloudy"][11:], stored / 127.5 - 1, atol=1e-6)
    assert set_up(old, version="old", nir=False).test_dataset[0]["cloudy"].shape == (9, 16, 24)
    figure = module.test_dataset.plot(sample)
    assert [axis.get_title() for axis in figure.axes][:4] == ["cloudy", "date1", "date2", "nir0"]


def test_the_old_split_is_the_published_permutation(old, monkeypatch):
    with pytest.raises(UserError, match=r"published split of Sen2_MTC_Old divides 3130 images, and here are 10: .*own"):
        set_up(old, version="old")
    monkeypatch.setattr(sen2_mtc_files, "OLD_SIZES", (6, 2, 2))
    module = set_up(old, version="old", nir=False)
    names = sorted(f"11WNR_{number * 1000}" for number in range(10))
    pairs = torch.utils.data.random_split(names, (6, 2, 2), torch.Generator().manual_seed(2022))
    drawn = [tuple(part) for part in pairs]
    assert drawn == [module.train_dataset.names, module.val_dataset.names, module.test_dataset.names]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(version="newer"), r"version='newer': Sen2_MTC has 'new' .* and 'old'"),
        (dict(version="old"), r"no folders multipleImage/clear .*: give the folder of Sen2_MTC_Old"),
        (dict(nir="no"), r"nir = 'no': give True or False"),
        (dict(sar=True), r"unknown argument 'sar'"),
    ],
)
def test_wrong_arguments(new, arguments, message):
    with pytest.raises(UserError, match=message):
        set_up(new, **arguments)


def test_another_layout_and_lost_files_are_refused(new, tmp_path_factory):
    with pytest.raises(UserError, match=r"no folders Sen2_MTC/T12TUR_R027/cloudless .*: give the folder of"):
        set_up(tmp_path_factory.mktemp("empty"))
    (new / "Sen2_MTC/T12TUR_R027/cloud/T12TUR_R027_7_1.tif").unlink()
    with pytest.raises(UserError, match=r"images without a partner, only in .*cloudless: T12TUR_R027_7_1"):
        set_up(new)


def test_data_check_knows_the_layouts(new, capsys):
    check(new)
    text = capsys.readouterr().out
    assert "Sen2_MTC_New/train" in text and "Sen2_MTC_New/test" in text and "ready for training, 0 warnings" in text
    broken = new / "Sen2_MTC/T12TUR_R027/cloud/T12TUR_R027_7_2.tif"  # a further date
    broken.write_bytes(broken.read_bytes()[:200])
    with pytest.raises(UserError, match="1 faults would break training"):
        check(new)


def test_folders_of_ones_own_are_not_taken_for_old(tmp_path):
    for folder in ("cloudy", "clear"):
        (tmp_path / folder).mkdir()
        for number in range(3):
            write_image(tmp_path / folder / f"{number}.png", np.zeros((3, 8, 8), np.uint8))
    assert recognise(tmp_path) == []


def test_data_check_of_old(old, capsys, monkeypatch):
    with pytest.raises(UserError, match="1 faults would break training"):
        check(old)
    assert "divides 3130 images" in capsys.readouterr().out
    monkeypatch.setattr(sen2_mtc_files, "OLD_SIZES", (6, 2, 2))
    check(old)
    assert "Sen2_MTC_Old/val" in capsys.readouterr().out


def test_the_published_test_images_have_the_documented_digest():
    """The test tiles have 70 images, but two: so the public lists say."""
    counts = dict.fromkeys(TEST, 70) | {"T31TBG_R051": 56, "T41UNR_R020": 71}
    names = [f"{tile}_{number}" for tile, count in counts.items() for number in range(count)]
    docs = Path(__file__).resolve().parents[2] / "docs" / "datasets.md"
    assert f"| test | {len(names)} | `{digest(names)}` |" in docs.read_text()
