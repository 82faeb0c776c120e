"""SEN12MS-CR in its published tree: SAR beside the image, the split by regions, masks by a score, `data check`."""

import argparse

import numpy as np
import pytest
import torch

from declouds.commands import data
from declouds.datamodules.published_dataset import PublishedDataset
from declouds.datamodules.sen12mscr import CLOUD_DETECTOR, SEN12MSCR
from declouds.datamodules.sen12mscr_files import TEST, VAL, sen12mscr
from declouds.datamodules.splits import digest
from declouds.errors import UserError
from declouds.image_io import read_image, write_image
from declouds.sources import read_sources

SIDES = {"s2_cloudy": 13, "s2": 13, "s1": 2}


def part(root, name, *, sar=True, bands=None, cloud_detector=CLOUD_DETECTOR, **arguments):
    return PublishedDataset(sen12mscr(sar, bands), root, name, cloud_detector=cloud_detector, **arguments)


@pytest.fixture
def make_tree(tmp_path):
    """Write patches of regions, such as ``fall_139_p1``; bright cloud in the left half of the cloudy image."""

    def make(*patches, without=()):
        seasons = dict(spring="ROIs1158_spring", summer="ROIs1868_summer", fall="ROIs1970_fall")
        for number, patch in enumerate(patches):
            season, region, name = patch.split("_")
            for side, bands in SIDES.items():
                if (patch, side) in without:
                    continue
                folder = tmp_path / f"{seasons[season]}_{side}" / f"{side}_{region}"
                folder.mkdir(parents=True, exist_ok=True)
                values = np.random.default_rng([number, bands]).uniform(200, 900, (bands, 16, 24))
                if side == "s2_cloudy":
                    values[:, :, :12] = 6000
                values = (-values / 40).astype("float32") if side == "s1" else values.astype("uint16")
                write_image(folder / f"{seasons[season]}_{side}_{region}_{name}.tif", values)
        return tmp_path

    return make


def check(root):
    parser = argparse.ArgumentParser()
    data.add_arguments(parser)
    data.run(parser.parse_args(["check", str(root)]))


def test_the_input_is_the_image_and_backscatter_in_its_limits(make_tree):
    root = make_tree("fall_1_p1", "fall_139_p1", "fall_65_p1")
    backscatter = np.full((2, 16, 24), -12.5, "float32")
    backscatter[:, 0] = np.array([[-30.0], [5.0]])  # below and above the limits
    write_image(root / "ROIs1970_fall_s1/s1_1/ROIs1970_fall_s1_1_p1.tif", backscatter, overwrite=True)
    module = SEN12MSCR(root)
    module.setup()
    (sample,) = module.train_dataset
    assert sample["name"] == "ROIs1970_fall_1_p1"
    assert sample["cloudy"].shape == (15, 16, 24) and sample["clear"].shape == (13, 16, 24)
    stored = read_image(root / "ROIs1970_fall_s2_cloudy/s2_cloudy_1/ROIs1970_fall_s2_cloudy_1_p1.tif")
    np.testing.assert_allclose(sample["cloudy"][:13], stored / 5000 - 1, atol=1e-6)
    vv, vh = sample["cloudy"][13:]
    assert vv[0].unique().tolist() == [-1] and vh[0].unique().tolist() == [1]
    assert vv[1, 0].item() == 0 and vh[1, 0].item() == pytest.approx(1 - 2 * 12.5 / 32.5)
    image, sar = module.inputs
    assert (image.name, image.channels, image.bands[8]) == ("image", 13, "B8A")
    assert (sar.name, sar.bands, sar.value_range) == ("sar", ("VV", "VH"), ((-25, 0), (-32.5, 0)))
    assert read_sources([source.config() for source in module.inputs], 15) == module.inputs


def test_the_split_is_by_published_regions(make_tree):
    assert len({*TEST, *VAL}) == 20
    root = make_tree("fall_1_p1", "fall_1_p2", "fall_139_p1", "spring_44_p3", "summer_19_p1", "summer_139_p1")
    module = SEN12MSCR(root, sar=False)
    module.setup()
    assert module.train_dataset.names == ("ROIs1868_summer_139_p1", "ROIs1970_fall_1_p1", "ROIs1970_fall_1_p2")
    assert module.val_dataset.names == ("ROIs1868_summer_19_p1",)
    assert set(module.test_dataset.names) == {"ROIs1158_spring_44_p3", "ROIs1970_fall_139_p1"}
    record = module.split_record()["test"]
    assert record == dict(count=2, digest=digest(module.test_dataset.names), split="published")
    own = dict(train=["ROIs1970_fall_139_p1"], test=["ROIs1970_fall_1_p1"])
    assert part(root, "train", sar=False, split=own, val=None).names == ("ROIs1970_fall_139_p1",)


def test_radar_is_dropped_from_a_share_of_training_samples_alone(make_tree):
    module = SEN12MSCR(make_tree("fall_1_p1", "fall_139_p1", "fall_65_p1"), drop=dict(sar=0.3))
    module.setup()
    train = module.train_dataset
    with_radar = train[0]["cloudy"]
    assert with_radar.shape[0] == 16 and (with_radar[15] == 1).all()
    samples = [train.draw(0, seed)["cloudy"] for seed in range(200)]
    missing = [sample for sample in samples if not torch.equal(sample, with_radar)]
    assert 40 <= len(missing) <= 80
    assert (missing[0][13:15] == 0).all() and (missing[0][15] == -1).all()
    assert all(torch.equal(sample[:13], with_radar[:13]) for sample in missing)
    assert torch.equal(train.draw(0, 7)["cloudy"], samples[7])
    assert (module.test_dataset[0]["cloudy"][15] == 1).all()


def test_missing_files_and_pixels_are_flagged(make_tree):
    root = make_tree("fall_1_p1", "fall_1_p2", "fall_139_p1", without=[("fall_1_p1", "s1")])
    with pytest.raises(UserError, match=r"ROIs1970_fall_1_p1 without source sar: .*drop=dict\(sar=0\.1\)"):
        part(root, "train", val=None)
    holes = np.full((2, 16, 24), -10, "float32")
    holes[0, 3, 4] = np.nan
    write_image(root / "ROIs1970_fall_s1/s1_1/ROIs1970_fall_s1_1_p2.tif", holes, overwrite=True)
    missing, holed = (sample["cloudy"] for sample in part(root, "train", val=None, drop=dict(sar=0)))
    assert (missing[13:15] == 0).all() and (missing[15] == -1).all()
    assert holed[15, 3, 4] == -1 and (holed[13:15, 3, 4] == 0).all() and holed[15].sum() == 16 * 24 - 2


def test_without_a_flag_pixels_without_data_take_their_neighbours_values(make_tree):
    root = make_tree("fall_1_p1", "fall_139_p1")
    holes = np.full((2, 16, 24), -10, "float32")
    holes[:, 3, 4] = np.nan
    write_image(root / "ROIs1970_fall_s1/s1_1/ROIs1970_fall_s1_1_p1.tif", holes, overwrite=True)
    cloudy = part(root, "train", val=None)[0]["cloudy"]
    assert len(cloudy) == 15 and (cloudy[13] == cloudy[13, 0, 0]).all()


def test_masks_are_made_by_the_detector(make_tree):
    root = make_tree("fall_1_p1", "fall_139_p1")
    mask = part(root, "train", val=None)[0]["mask"]
    assert mask.shape == (1, 16, 24) and mask[0, :, :9].all() and not mask[0, :, 18:].any()
    assert "mask" not in part(root, "train", val=None, cloud_detector=None)[0]
    with pytest.raises(UserError, match=r"CloudScore needs the bands .* B01, B10, B11 are missing: .*BrightWhite"):
        part(root, "train", val=None, bands=[4, 3, 2])
    part(root, "train", val=None, bands=[4, 3, 2], cloud_detector=dict(type="BrightWhite"))


def test_a_plot_shows_true_colour_and_radar(make_tree):
    dataset = part(make_tree("fall_1_p1", "fall_139_p1"), "train", val=None)
    assert dataset.rgb == (3, 2, 1)
    figure = dataset.plot(dataset[0])
    assert [axis.get_title() for axis in figure.axes] == ["cloudy", "sar", "clear", "mask"]
    shown = figure.axes[2].images[0].get_array()
    np.testing.assert_allclose(shown, np.moveaxis((dataset[0]["clear"][[3, 2, 1]].numpy() + 1) / 2, 0, -1), atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(drop=dict(radar=0.1)), r"drop: no source 'radar': did you mean 'sar'\? known: sar"),
        (dict(drop=dict(sar=1)), "drop: sar=1: give the share of training samples without it, 0 to below 1"),
        (dict(bands=[14]), "no band 14: choose from 1 to 13"),
    ],
)
def test_wrong_arguments(make_tree, arguments, message):
    with pytest.raises(UserError, match=message):
        part(make_tree("fall_1_p1", "fall_139_p1"), "train", val=None, **arguments)


def test_radar_that_does_not_fit_is_refused(make_tree):
    root = make_tree("fall_1_p1", "fall_139_p1")
    path = root / "ROIs1970_fall_s1/s1_1/ROIs1970_fall_s1_1_p1.tif"
    for values, message in (
        (np.full((2, 8, 8), -10, "float32"), "is 8x8, but .* is 16x24: a source must have the same size as its image"),
        (np.full((1, 16, 24), -10, "float32"), r"has 1 bands, but source sar has 2 \(VV, VH\)"),
    ):
        write_image(path, values, overwrite=True)
        with pytest.raises(UserError, match=message):
            part(root, "train", val=None)
    write_image(path, np.full((2, 16, 24), 0.1, "float32"), overwrite=True)  # linear, not dB
    with pytest.raises(UserError, match=r"99 % of VV .* lie outside the range of source sar, -25 to 0"):
        part(root, "train", val=None)[0]


def test_images_without_a_partner_and_other_files_are_named(make_tree):
    with pytest.raises(UserError, match=r"images without a partner, only in .*s2_cloudy_1: p2"):
        part(make_tree("fall_1_p1", "fall_1_p2", without=[("fall_1_p2", "s2")]), "train")


def test_decoded_files_depend_on_the_sources(make_tree, tmp_path):
    root = make_tree("fall_1_p1", "fall_139_p1")
    keys = {
        part(root, "train", val=None, **arguments).decoded_key(0)
        for arguments in (dict(), dict(sar=False), dict(drop=dict(sar=0)), dict(cloud_detector=None))
    }
    assert len(keys) == 4
    kept = [part(root, "train", val=None, cache=tmp_path / "kept") for _ in range(2)]
    first, again = (dataset[0]["cloudy"] for dataset in kept)
    assert torch.equal(first, again) and len(list((tmp_path / "kept").glob("*.npy"))) == 1


def test_data_check_reads_the_radar_too(make_tree, capsys):
    root = make_tree("fall_1_p1", "fall_1_p2", "fall_139_p1", without=[("fall_1_p2", "s1")])
    check(root)
    text = capsys.readouterr().out
    assert "SEN12MS-CR/train" in text and "SEN12MS-CR/test" in text and "ready for training, 1 warnings" in text
    assert "no file of source sar: `drop` lets it be missing: SEN12MS-CR/train/ROIs1970_fall_1_p2" in text
    broken = root / "ROIs1970_fall_s1/s1_1/ROIs1970_fall_s1_1_p1.tif"
    broken.write_bytes(broken.read_bytes()[:200])
    with pytest.raises(UserError, match="1 faults would break training"):
        check(root)


def test_real_images(shared):
    root = shared / "data" / "sen12mscr"
    module = SEN12MSCR(root, drop=dict(sar=0.5))
    module.setup()
    counts = {part: record["count"] for part, record in module.split_record().items()}
    assert counts["test"] == 1 and sum(counts.values()) == 16
    (sample,) = module.test_dataset
    assert sample["name"] == "ROIs1970_fall_139_p839" and sample["cloudy"].shape == (16, 256, 256)
    vv, vh, flag = sample["cloudy"][13:]
    assert (flag == 1).all() and vh.mean() < vv.mean() + 1 and -0.9 < vv.mean() < 0.9  # VH is the weaker one
    covers = {each["name"]: each["mask"].mean().item() for each in module.train_dataset}
    assert min(covers.values()) < 0.2 and max(covers.values()) > 0.8
