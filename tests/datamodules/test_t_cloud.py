"""T-CLOUD in its published tree: split by folders, `data check`."""

import argparse

import numpy as np
import pytest

from declouds.commands import data
from declouds.datamodules.splits import digest
from declouds.datamodules.t_cloud import TCloud
from declouds.errors import UserError
from declouds.image_io import read_image, write_image


@pytest.fixture
def root(tmp_path):
    """Twenty pairs to train on and two to test; those to test have an opaque fourth band."""
    for number in range(1, 23):
        part = "test" if number % 11 == 0 else "train"
        for side in ("cloud", "reference"):
            path = tmp_path / part / side / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            values = np.random.default_rng([number, len(side)]).integers(0, 200, (3, 16, 24), dtype=np.uint8)
            opacity = np.full((1, 16, 24), 255, np.uint8)
            write_image(path, np.concatenate([values, opacity]) if part == "test" else values)
    return tmp_path


def check(root, *arguments):
    parser = argparse.ArgumentParser()
    data.add_arguments(parser)
    data.run(parser.parse_args(["check", str(root), *arguments]))


def set_up(*args, **kwargs):
    module = TCloud(*args, **kwargs)
    module.setup()
    return module


def test_the_split_is_by_folders(root):
    module = set_up(root)
    assert (len(module.train_dataset), len(module.val_dataset), len(module.test_dataset)) == (18, 2, 2)
    assert module.split_record()["test"] == dict(count=2, digest=digest(["11", "22"]), split="published")
    assert set_up(root, val="test").val_dataset.names == ("11", "22")
    own = dict(train=["22", "1"], test=["11"])
    assert set_up(root, split=own, val=None).train_dataset.names == ("22", "1")


def test_samples_are_the_stored_pictures(root):
    module = set_up(root)
    sample = module.test_dataset[1]
    for key, side in (("cloudy", "cloud"), ("clear", "reference")):
        stored = read_image(root / "test" / side / "22.png")[:3]
        np.testing.assert_allclose(sample[key], stored / 127.5 - 1, atol=1e-6)
    assert module.band_names == ("red", "green", "blue") and "mask" not in sample
    titles = [axis.get_title() for axis in module.test_dataset.plot(sample).axes]
    assert titles == ["cloudy", "clear"]


def test_another_layout_and_lost_files_are_refused(root, tmp_path_factory):
    with pytest.raises(UserError, match=r"no folders train/cloud and train/reference, .*: arrange the download"):
        set_up(tmp_path_factory.mktemp("empty"))
    (root / "test/reference/22.png").unlink()
    with pytest.raises(UserError, match=r"images without a partner, only in .*cloud: 22"):
        set_up(root)


def test_a_split_by_names_needs_names_that_differ(root):
    names = sorted(path.stem for path in (root / "train" / "cloud").iterdir())
    for folder in ("cloud", "reference"):
        (root / "train" / folder / f"{names[0]}.png").rename(root / "train" / folder / "same.png")
        first = next((root / "test" / folder).iterdir())
        first.rename(first.with_name("same.png"))
    with pytest.raises(UserError, match="are called same, so a split by names cannot tell them apart"):
        set_up(root, split=dict(train=["same"], test=[]))


def test_data_check_knows_the_layout(root, capsys):
    check(root)
    text = capsys.readouterr().out
    assert "T-CLOUD/train" in text and "T-CLOUD/test" in text and "ready for training" in text
    check(root, "--clear", "reference")  # one's own names
    text = capsys.readouterr().out
    assert "T-CLOUD" not in text and "ready for training" in text


def test_data_check_does_not_leave_bands_unread_that_were_asked_for(root):
    with pytest.raises(UserError, match="is T-CLOUD, of which all bands are checked: omit --bands"):
        check(root, "--bands", "3,2,1")
