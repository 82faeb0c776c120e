"""SEN12MS-CR-TS in its published tree: clouds of each date, the choice of dates, sources, split, `data check`."""

import argparse
import errno
import json

import numpy as np
import pytest

from declouds.commands import data
from declouds.datamodules.sen12mscr_ts import SEN12MSCRTS
from declouds.datamodules.sen12mscr_ts_files import TEST, VAL, Dates, choose_dates
from declouds.datamodules.splits import digest
from declouds.errors import UserError
from declouds.image_io import read_image, write_image

DATES = 6
CLEAR = 4  # the date without cloud; the others have more of it the later they are
PLACES = ("ROIs1868/36", "ROIs1868/119", "ROIs2017/22")


def path_of(root, place, sensor, date, patch=0):
    season, region = place.split("/")
    name = f"{sensor.lower()}_{season}_{region}_ImgNo_{date}_2018-0{date + 1}-06_patch_{patch}.tif"
    return root / place / sensor / str(date) / name


@pytest.fixture
def root(tmp_path):
    """Two patches of each place; bright cloud covers the left part of all dates but one, ever more of it."""
    for place in PLACES:
        for date in range(DATES):
            for patch in (0, 10):
                random = np.random.default_rng([*place.encode(), date, patch])
                for sensor in ("S1", "S2"):
                    path_of(tmp_path, place, sensor, date).parent.mkdir(parents=True, exist_ok=True)
                ground = random.uniform(200, 900, (13, 16, 24))
                ground[:, :, : 0 if date == CLEAR else 8 + 2 * date] = 6000
                write_image(path_of(tmp_path, place, "S2", date, patch), ground.astype("uint16"))
                backscatter = random.uniform(-20, -5, (2, 16, 24))
                write_image(path_of(tmp_path, place, "S1", date, patch), backscatter.astype("float32"))
    return tmp_path


def run(task, root, *arguments):
    parser = argparse.ArgumentParser()
    data.add_arguments(parser)
    data.run(parser.parse_args([task, str(root), *map(str, arguments)]))


@pytest.fixture
def covered(root):
    run("covers", root)
    return root


def set_up(*args, **kwargs):
    module = SEN12MSCRTS(*args, **kwargs)
    module.setup()
    return module


def test_covers_are_the_share_of_cloud_of_each_date(covered, capsys):
    covers = json.loads((covered / "covers.json").read_text())
    assert sorted(covers) == sorted(f"{place.replace('/', '_')}_p{patch}" for place in PLACES for patch in (0, 10))
    shares = covers["ROIs1868_36_p0"]
    assert shares[CLEAR] == 0
    for date in set(range(DATES)) - {CLEAR}:
        assert shares[date] == pytest.approx((8 + 2 * date) / 24, abs=0.13)  # the score is smoothed over 7 pixels
    with pytest.raises(UserError, match=r"covers\.json already exists: choose another name"):
        run("covers", covered)


def test_pixels_without_data_are_no_clear_ground(root):
    path = path_of(root, "ROIs1868/36", "S2", CLEAR)
    write_image(path, np.zeros((13, 16, 24), "uint16"), overwrite=True)
    run("covers", root, "-o", root / "own.json")
    assert json.loads((root / "own.json").read_text())["ROIs1868_36_p0"][CLEAR] == 1


def read_only(path):
    raise OSError(errno.EROFS, "Read-only file system")


def test_covers_are_refused_before_any_work(root, tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"none: no such folder: create it, or choose another with -o"):
        run("covers", root, "-o", tmp_path / "none" / "covers.json")
    with pytest.raises(UserError, match=r"no folders ROIs1868/17/S2 .*: give the folder"):
        run("covers", root / "ROIs1868", "-o", tmp_path / "covers.json")
    with monkeypatch.context() as patch:
        patch.setattr("declouds.datamodules.cloud_covers.replacing", read_only)
        patch.delattr("declouds.datamodules.cloud_covers.read_image")  # no image is read before
        with pytest.raises(UserError, match=r"cannot be written \(Read-only file system\)"):
            run("covers", root, "-o", tmp_path / "covers.json")
    path_of(root, "ROIs1868/36", "S2", CLEAR).unlink()
    with pytest.raises(UserError, match=r"36/S2/\d: lacks p0, which other dates have: unpack the archive again"):
        run("covers", root, "-o", tmp_path / "covers.json")
    assert not (tmp_path / "covers.json").exists()


@pytest.mark.parametrize(
    ("dates", "choice", "cover", "chosen"),
    [
        (3, "published", (0.0, 1.0), Dates(3, (0, 1, 2))),
        (4, "published", (0.0, 1.0), Dates(3, (0, 1, 2, 4))),
        (2, "published", (0.35, 0.6), Dates(3, (1, 4))),
        (3, "published", (0.35, 0.6), Dates(3, (0, 1, 2))),  # only two lie within
        (1, "near", (0.0, 1.0), Dates(3, (2,))),
        (3, "near", (0.0, 1.0), Dates(3, (2, 4, 1))),
        (4, "near", (0.0, 1.0), Dates(3, (2, 4, 1, 5))),
        (5, "near", (0.0, 1.0), Dates(3, (2, 4, 1, 5, 0))),
    ],
)
def test_the_choice_of_dates(dates, choice, cover, chosen):
    assert choose_dates([0.9, 0.5, 0.3, 0.1, 0.4, 0.2], dates, choice, cover) == chosen


def test_near_dates_stay_within_the_year():
    assert choose_dates([0.0, 0.5, 0.9, 0.1, 0.0], 3, "near") == Dates(3, (2, 4, 1))
    with pytest.raises(UserError, match="dates=5, but there are 5, and one of them is the clear one"):
        choose_dates([0.5] * 5, 5, "near")


def test_the_input_is_dates_and_their_backscatter(covered):
    module = set_up(covered, dates=3)
    sample = module.test_dataset[0]
    assert sample["name"] == "ROIs1868_119_p0"
    assert sample["cloudy"].shape == (45, 16, 24) and sample["clear"].shape == (13, 16, 24)
    clear = read_image(path_of(covered, "ROIs1868/119", "S2", CLEAR))
    np.testing.assert_allclose(sample["clear"], clear / 5000 - 1, atol=1e-6)
    for number, date in enumerate((0, 1, 2)):
        optical = read_image(path_of(covered, "ROIs1868/119", "S2", date))
        vv, vh = read_image(path_of(covered, "ROIs1868/119", "S1", date))
        channels = sample["cloudy"][15 * number : 15 * number + 15]
        np.testing.assert_allclose(channels[:13], optical / 5000 - 1, atol=1e-6)
        np.testing.assert_allclose(channels[13], vv / 12.5 + 1, atol=1e-6)
        np.testing.assert_allclose(channels[14], vh / 16.25 + 1, atol=1e-6)
    named = [(source.name, source.kind, source.days) for source in module.inputs]
    assert named == [
        ("image", "optical", None),
        ("sar", "sar", None),
        ("date1", "optical", None),
        ("date1_sar", "sar", None),
        ("date2", "optical", None),
        ("date2_sar", "sar", None),
    ]
    assert 0 < sample["mask"].mean() < 1 and sample["mask"].shape == (1, 16, 24)


def test_near_dates_have_days(covered):
    module = set_up(covered, dates=3, choice="near", sar=False, bands=[4, 3, 2], cloud_detector=None)
    (image, *others), sample = module.inputs, module.test_dataset[0]
    assert image.bands == ("B04", "B03", "B02") and [(each.name, each.days) for each in others] == [
        ("date1", 24),
        ("date2", -12),
    ]
    stored = [read_image(path_of(covered, "ROIs1868/119", "S2", date))[[3, 2, 1]] for date in (3, 5, 2)]
    np.testing.assert_allclose(sample["cloudy"], np.concatenate(stored) / 5000 - 1, atol=1e-6)


def test_the_split_is_by_published_places(covered):
    assert len({*TEST, *VAL}) == 18
    module = set_up(covered)
    assert module.train_dataset.names == ("ROIs1868_36_p0", "ROIs1868_36_p10")
    assert module.val_dataset.names == ("ROIs2017_22_p0", "ROIs2017_22_p10")
    names = ["ROIs1868_119_p0", "ROIs1868_119_p10"]
    assert module.split_record()["test"] == dict(count=2, digest=digest(names), split="published")
    own = dict(train=["ROIs2017_22_p0"], test=["ROIs1868_36_p10"])
    assert set_up(covered, split=own, val=None).test_dataset.names == ("ROIs1868_36_p10",)


def test_a_plot_shows_dates_in_true_colour_and_backscatter_as_grey(covered):
    dataset = set_up(covered, dates=2).test_dataset
    figure = dataset.plot(dataset[0])
    assert [axis.get_title() for axis in figure.axes] == ["cloudy", "sar", "date1", "date1_sar", "clear", "mask"]
    shown = figure.axes[2].images[0].get_array()
    np.testing.assert_allclose(shown, np.moveaxis((dataset[0]["cloudy"][[18, 17, 16]].numpy() + 1) / 2, 0, -1))


def test_radar_may_be_missing(covered):
    path_of(covered, "ROIs1868/119", "S1", 1).unlink()
    with pytest.raises(UserError, match=r"ROIs1868_119_p0 without source date1_sar: .*drop=dict\(date1_sar=0\.1\)"):
        set_up(covered)
    cloudy = set_up(covered, drop=dict(date1_sar=0)).test_dataset[0]["cloudy"]
    assert len(cloudy) == 46 and (cloudy[28:30] == 0).all() and (cloudy[30] == -1).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(dates=0), "dates=0, choice='published': give 1 date or more, chosen 'published' or 'near'"),
        (dict(choice="first"), "choice='first': give 1 date or more, chosen"),
        (dict(cover=(0.5, 0.1)), r"cover=\(0\.5, 0\.1\): give the lowest and highest share of cloud"),
        (dict(dates=6), "dates=6, but there are 6, and one of them is the clear one"),
        (dict(bands=[14]), "no band 14: choose from 1 to 13"),
        (dict(covers="none.json"), r"none\.json: no such file: .*write it once with `declouds data covers"),
        (dict(sar="yes"), "sar = 'yes': give True or False"),
    ],
)
def test_wrong_arguments(covered, arguments, message):
    with pytest.raises(UserError, match=message):
        set_up(covered, **arguments)


def test_covers_of_other_data_and_lost_files_are_refused(covered):
    covers = json.loads((covered / "covers.json").read_text())
    (covered / "short.json").write_text(json.dumps(covers | {"ROIs1868_36_p0": [0.1]}))
    with pytest.raises(UserError, match=r"short\.json: has 1 dates of ROIs1868_36_p0, and .*S2 has 6: write it again"):
        set_up(covered, covers="short.json")
    (covered / "broken.json").write_text("[1]")
    with pytest.raises(UserError, match=r"broken\.json: is no file of covers"):
        set_up(covered, covers="broken.json")
    path_of(covered, "ROIs1868/36", "S2", CLEAR).unlink()
    with pytest.raises(UserError, match=r"36/S2/\d: lacks p0, which other dates have: unpack the archive again"):
        set_up(covered)


def test_data_check_needs_the_covers_and_reads_every_source(root, capsys):
    with pytest.raises(UserError, match="1 faults would break training"):
        run("check", root)
    assert "write it once with `declouds data covers" in capsys.readouterr().out
    run("covers", root)
    path_of(root, "ROIs1868/119", "S1", 2).unlink()
    run("check", root)
    text = capsys.readouterr().out
    assert "SEN12MS-CR-TS/train" in text and "SEN12MS-CR-TS/test" in text and "ready for training, 1 warnings" in text
    assert "no file of source date2_sar: `drop` lets it be missing: SEN12MS-CR-TS/test/ROIs1868_119_p0" in text


def test_a_real_year(shared, tmp_path):
    stored = sorted((shared / "data" / "s2_timeseries").glob("*.tif"))
    for date, path in enumerate(stored):
        copy = tmp_path / f"ROIs1868/119/S2/{date}/s2_ROIs1868_119_ImgNo_{date}_{path.stem}_patch_0.tif"
        copy.parent.mkdir(parents=True)
        copy.symlink_to(path)
    run("covers", tmp_path)
    (shares,) = json.loads((tmp_path / "covers.json").read_text()).values()
    assert len(shares) == 30 and min(shares) < 0.01 and sum(share < 0.1 for share in shares) >= 13
    module = SEN12MSCRTS(tmp_path, sar=False, choice="near", dates=2)
    module.setup("test")
    (sample,) = module.test_dataset
    assert sample["cloudy"].shape == (26, 256, 256)
    assert sample["mask"].mean() > 0.05 and sample["clear"][[3, 2, 1]].mean() < sample["cloudy"][[3, 2, 1]].mean()
