"""WHUS2-CR in its published tree: bands of three resolutions on one grid, two splits, `data check`."""

import argparse

import numpy as np
import pytest
import rasterio

from declouds.commands import data
from declouds.datamodules.splits import digest
from declouds.datamodules.whus2_cr import WHUS2CR
from declouds.datamodules.whus2_cr_files import RESOLUTIONS, TEST, VAL
from declouds.errors import UserError
from declouds.image_io import read_image, write_image

SCENES = {"train/R003_T52SCF": 2, "val/R005_T48XWK": 1, "val/R078_T38UNC": 1, "train/R008_T30QVM": 1}


@pytest.fixture
def root(tmp_path):
    """Clips of four scenes; one that the table has for training lies in ``val``, one for testing in ``train``."""
    for scene, clips in SCENES.items():
        part, name = scene.split("/")
        for side in ("cloudDNclips", "clearDNclips"):
            for resolution, (times, bands) in RESOLUTIONS.items():
                for number in range(1, clips + 1):
                    path = tmp_path / part / side / resolution / name / f"{number}.tif"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    random = np.random.default_rng([*scene.encode(), len(bands), number, side == "clearDNclips"])
                    values = random.integers(1, 9000, (len(bands), 12 // times, 24 // times))
                    write_image(path, values.astype("uint16"))
    return tmp_path


def check(root):
    parser = argparse.ArgumentParser()
    data.add_arguments(parser)
    data.run(parser.parse_args(["check", str(root)]))


def set_up(*args, **kwargs):
    module = WHUS2CR(*args, **kwargs)
    module.setup()
    return module


def stored(root, side, resolution, scene="train/R008_T30QVM", number=1):
    part, name = scene.split("/")
    return read_image(root / part / side / resolution / name / f"{number}.tif")


def test_coarse_bands_are_repeated_on_the_grid_of_10_m(root):
    module = set_up(root)
    (sample,) = module.test_dataset
    assert sample["name"] == "R008_T30QVM_1" and module.band_names[:2] == ("B01", "B02")
    for key, side in (("cloudy", "cloudDNclips"), ("clear", "clearDNclips")):
        image = sample[key].numpy()
        assert image.shape == (13, 12, 24)
        fine, middle, coarse = (stored(root, side, resolution) / 5000 - 1 for resolution in ("10m", "20m", "60m"))
        np.testing.assert_allclose(image[[1, 2, 3, 7]], fine, atol=1e-6)
        np.testing.assert_allclose(image[[4, 5, 6, 8, 11, 12], ::2, 1::2], middle, atol=1e-6)
        np.testing.assert_allclose(image[[0, 9, 10], 5::6, ::6], coarse, atol=1e-6)
        assert (image[0, :6, :6] == image[0, 0, 0]).all()


def test_bands_are_chosen_across_resolutions(root):
    module = set_up(root, bands=[4, 5, 1])
    (sample,) = module.test_dataset
    assert module.band_names == ("B04", "B05", "B01") and sample["cloudy"].shape == (3, 12, 24)
    np.testing.assert_allclose(sample["cloudy"][0], stored(root, "cloudDNclips", "10m")[2] / 5000 - 1, atol=1e-6)
    np.testing.assert_allclose(
        sample["cloudy"][1, ::2, ::2], stored(root, "cloudDNclips", "20m")[0] / 5000 - 1, atol=1e-6
    )
    with pytest.raises(UserError, match="no band 14: choose from 1 to 13"):
        WHUS2CR(root, bands=[14])


def test_gaps_are_repeated_too(root):
    path = root / "train/cloudDNclips/60m/R008_T30QVM/1.tif"
    values = read_image(path)
    values[:, 0, 1] = 0
    write_image(path, values, overwrite=True)
    with rasterio.open(path, "r+") as file:
        file.nodata = 0
    valid = set_up(root).test_dataset[0]["valid"]
    assert valid.shape == (1, 12, 24) and not valid[0, :6, 6:12].any() and valid.sum() == 12 * 24 - 36


def test_the_split_is_by_the_published_scenes_or_by_folders(root):
    assert len({*TEST, *VAL}) == 30
    module = set_up(root)
    assert set(module.train_dataset.names) == {"R003_T52SCF_1", "R003_T52SCF_2", "R005_T48XWK_1"}
    assert module.val_dataset.names == ("R078_T38UNC_1",)
    assert module.split_record()["test"] == dict(count=1, digest=digest(["R008_T30QVM_1"]), split="published")
    by_folder = WHUS2CR(root, split="folders")
    by_folder.setup("fit")
    assert by_folder.train_dataset.names == ("R003_T52SCF_1", "R003_T52SCF_2", "R008_T30QVM_1")
    assert by_folder.val_dataset.names == ("R005_T48XWK_1", "R078_T38UNC_1")
    assert by_folder.split_record()["val"]["split"] == "folders"
    own = dict(train=["R003_T52SCF_2"], test=["R003_T52SCF_1"])
    assert set_up(root, split=own, val=None).test_dataset.names == ("R003_T52SCF_1",)


def test_a_plot_is_in_true_colour(root):
    dataset = set_up(root).test_dataset
    assert dataset.rgb == (3, 2, 1)
    figure = dataset.plot(dataset[0])
    shown = figure.axes[1].images[0].get_array()
    np.testing.assert_allclose(shown, np.moveaxis((dataset[0]["clear"][[3, 2, 1]].numpy() + 1) / 2, 0, -1), atol=1e-6)


def test_another_layout_lost_files_and_other_sizes_are_refused(root, tmp_path_factory):
    with pytest.raises(UserError, match=r"no folders train/cloudDNclips and train/clearDNclips, .*: give the folder"):
        set_up(tmp_path_factory.mktemp("empty"))
    path = root / "train/clearDNclips/20m/R008_T30QVM/1.tif"
    write_image(path, np.ones((6, 4, 4), "uint16"), overwrite=True)
    with pytest.raises(UserError, match=r"20m/R008_T30QVM/1\.tif is 8x8 uint16, but .*: the images of a pair must"):
        set_up(root)
    path.rename(path.with_name("2.tif"))
    with pytest.raises(UserError, match=r"images without a partner, only in .*10m/R008_T30QVM: 1; only in .*: 2"):
        set_up(root)


def test_data_check_knows_the_layout(root, capsys):
    check(root)
    text = capsys.readouterr().out
    assert "WHUS2-CR/train" in text and "WHUS2-CR/test" in text and "ready for training, 0 warnings" in text
    broken = root / "train/clearDNclips/60m/R008_T30QVM/1.tif"
    broken.write_bytes(broken.read_bytes()[:150])
    with pytest.raises(UserError, match="1 faults would break training"):
        check(root)
