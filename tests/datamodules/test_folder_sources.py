"""Sources of your own pairs: radar, other dates, elevation, in folders beside the images."""

import numpy as np
import pytest
import torch

from declouds.datamodules.paired import PairedFolder, PairedFolderDataset
from declouds.errors import UserError
from declouds.image_io import read_image, write_image
from declouds.models import build_model
from declouds.sources import Source
from declouds.training.settings import settings_of


def split(*train, test=("12",)):
    return dict(train=list(train), test=list(test))


@pytest.fixture
def root(make_pairs):
    """Pairs 1, 2 and 12, with radar, two dates and elevation; d2 has no image 2."""
    root = make_pairs(names=("1", "2", "12"))
    for folder in ("s1", "d1", "d2", "dem"):
        (root / folder).mkdir()
    for number, name in enumerate(("1", "2", "12")):
        draw = np.random.default_rng(number)
        write_image(root / f"s1/{name}.tif", draw.uniform(-20, -5, (2, 16, 24)).astype("float32"))
        write_image(root / f"dem/{name}.tif", draw.uniform(100, 900, (1, 16, 24)).astype("float32"))
        write_image(root / f"d1/{name}.png", draw.integers(0, 255, (3, 16, 24), dtype="uint8"))
        if name != "2":
            write_image(root / f"d2/{name}.png", draw.integers(0, 255, (3, 16, 24), dtype="uint8"))
    return root


ALL = dict(sar="s1", dates=["d1", "d2"], elevation=dict(folder="dem", value_range=(0, 1000)))


def test_sources_follow_the_image_each_in_its_own_units(root):
    module = PairedFolder(
        root, split("1", "2"), band_names=("red", "green", "blue"), val=None, sources=ALL, drop=dict(d2=0)
    )
    module.setup()
    assert [(source.name, source.kind, source.channels) for source in module.inputs] == [
        ("image", "optical", 3),
        ("sar", "sar", 2),
        ("d1", "optical", 3),
        ("d2", "optical", 4),
        ("elevation", "elevation", 1),
    ]
    assert module.inputs[2] == Source("d1", "optical", ("red", "green", "blue"), (0, 255))
    dated = PairedFolderDataset(
        root, split=split("1"), val=None, sources=dict(d1=dict(folder="d1", kind="optical", days=-5))
    )
    assert dated.sources[0].days == -5
    first, second = (sample["cloudy"] for sample in module.train_dataset)
    assert first.shape == (13, 16, 24)
    radar = read_image(root / "s1/1.tif")
    np.testing.assert_allclose(first[3], (radar[0] + 25) / 12.5 - 1, atol=1e-5)
    np.testing.assert_allclose(first[4], (radar[1] + 32.5) / 16.25 - 1, atol=1e-5)
    for place, folder in ((5, "d1"), (8, "d2")):
        expected = read_image(root / folder / "1.png") / 127.5 - 1
        np.testing.assert_allclose(first[place : place + 3], expected, atol=1e-6)
    np.testing.assert_allclose(first[12:], read_image(root / "dem/1.tif") / 500 - 1, atol=1e-5)
    assert (first[11] == 1).all() and (second[11] == -1).all() and (second[8:11] == 0).all()


def test_bands_of_dates_are_those_of_the_image(root):
    dataset = PairedFolderDataset(root, split=split("1"), val=None, bands=[3, 1], sources=dict(dates=["d1"]))
    expected = read_image(root / "d1/1.png")[[2, 0]] / 127.5 - 1
    np.testing.assert_allclose(dataset[0]["cloudy"][2:], expected, atol=1e-6)


def test_sources_are_reduced_with_the_image(root):
    whole, half = (
        PairedFolderDataset(root, split=split("1"), val=None, sources=dict(sar="s1"), reduce=reduce)[0]["cloudy"]
        for reduce in (1, 2)
    )
    assert half.shape == (5, 8, 12)
    assert torch.allclose(half[3:].mean((1, 2)), whole[3:].mean((1, 2)), atol=0.05)


def test_names_that_differ_are_matched_by_what_they_share(root):
    for path in (root / "s1").iterdir():
        path.rename(path.with_name(f"S1_{path.stem}_vv_vh.tif"))
    with pytest.raises(UserError, match=r"none of its images \(S1_1_vv_vh, .* has the name .* match="):
        PairedFolderDataset(root, split=split("1"), sources=dict(sar="s1"))
    arguments = dict(split=split("1", "2"), val=None, sources=dict(sar="s1"))
    dataset = PairedFolderDataset(root, match=r"\d\d|(?<!S)\d", **arguments)
    assert dataset.names == ("1", "2")
    assert [pair.sources[0].path.name for pair in dataset.pairs] == ["S1_1_vv_vh.tif", "S1_2_vv_vh.tif"]
    with pytest.raises(UserError, match=r"match='S1_\(\.\*\)' does not match its name"):
        PairedFolderDataset(root, match="S1_(.*)", **arguments)
    with pytest.raises(UserError, match=r"12\.png and 1\.png: match='\^1' takes both for '1'"):
        (root / "cloud/2.png").unlink()
        PairedFolderDataset(root, match="^1", **arguments)
    with pytest.raises(UserError, match=r"match='\(' is no regular expression"):
        PairedFolderDataset(root, match="(", **arguments)


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        (dict(dates="d1"), r"dates='d1': give a list of folders"),
        (dict(sar=3), r"sar=3: give a folder, or dict\(folder="),
        (dict(dem="dem"), r"dem has no known value range: give dem=dict\(folder='dem', value_range=\(low, high\)\)"),
        (dict(sar=dict(folder="s1", range=(0, 1))), "unknown argument 'range'"),
        (dict(sar="absent"), "absent: no such folder"),
        (dict(d1=dict(folder="d1", kind="optical", days="-5")), "days = '-5': give a number or None"),
        (dict(sar=dict(folder="s1", value_range=[[0, 1]])), "1 value ranges for 2 bands"),
    ],
)
def test_wrong_sources(root, sources, message):
    with pytest.raises(UserError, match=message):
        PairedFolderDataset(root, split=split("1"), val=None, sources=sources)


def test_a_model_records_the_sources_and_is_given_them(root):
    from mmengine.config import Config

    data = dict(type="PairedFolder", root=str(root), split=split("1", "2"), val=None, sources=ALL, drop=dict(d2=0))
    config = Config(dict(model=dict(type="OnePass", reference=dict(type="Identity")), datamodule=data))
    settings = settings_of(config, "none")
    model = build_model(settings.model_config)
    assert (model.bands, model.in_bands, model.inputs) == (3, 13, settings.datamodule.inputs)
    config.model.inputs = [source.config() for source in settings.datamodule.inputs[:1]]
    with pytest.raises(UserError, match="the model has other inputs than the data"):
        settings_of(config, "none")


def test_real_radar(shared):
    root = shared / "data" / "s1s2"
    names = sorted(path.stem for path in (root / "s1").iterdir())
    module = PairedFolder(
        root,
        dict(train=names[:10], test=names[10:]),
        cloudy="cloudy",
        value_range=(0, 10000),
        val=None,
        sources=dict(sar="s1"),
        drop=dict(sar=0.2),
    )
    module.setup()
    assert len(module.test_dataset) == 4
    for sample in module.train_dataset:
        assert sample["cloudy"].shape == (16, 256, 256) and (sample["cloudy"][15] == 1).all()
        vv, vh = sample["cloudy"][13:15]
        assert -0.9 < vv.mean() < 0.95 and -0.9 < vh.mean() < 0.95
