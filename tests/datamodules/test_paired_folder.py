import json
import pickle

import numpy as np
import pytest
import rasterio
import torch

from declouds.datamodules.downsample import downsample
from declouds.datamodules.paired import PairedFolder, PairedFolderDataset
from declouds.datamodules.splits import digest
from declouds.errors import UserError
from declouds.evaluation.picture_pairs import PicturePair, find_pairs, read_pair
from declouds.image_io import read_image, with_orientation, write_image
from declouds.registry import DATAMODULES
from declouds.value_range import ValueRange

SPLIT = {"train": ["1", "2", "10"], "test": ["11", "12"]}


def write_split(root, split=SPLIT):
    (root / "split.json").write_text(json.dumps(split))


def test_samples_are_the_pictures_in_minus_1_to_1(make_pairs):
    root = make_pairs(mask=True)
    write_split(root)
    module = DATAMODULES.build({"type": "PairedFolder", "root": root, "mask": "mask", "val": None})
    module.setup()
    assert (len(module.train_dataset), module.val_dataset, len(module.test_dataset)) == (3, None, 2)
    assert (module.bands, module.value_range.low, module.value_range.high) == (3, 0, 255)
    sample = module.train_dataset[2]
    assert set(sample) == {"cloudy", "clear", "name", "mask"}
    assert sample["name"] == "10"
    for key, folder in (("cloudy", "cloud"), ("clear", "label")):
        assert sample[key].dtype == torch.float32 and sample[key].shape == (3, 16, 24)
        expected = read_image(root / folder / "10.png") / 127.5 - 1
        np.testing.assert_allclose(sample[key].numpy(), expected, atol=1e-6)
    assert sample["mask"].shape == (1, 16, 24) and sample["mask"].dtype == torch.float32
    assert sample["mask"].sum() == 16 * 12 and sample["mask"].unique().tolist() == [0, 1]


def test_loaders_batch_with_worker_processes(make_pairs):
    root = make_pairs()
    write_split(root)
    module = PairedFolder(root, val="test", batch_size=2, num_workers=1)
    module.setup("fit")
    (batch,) = list(module.train_dataloader())
    assert batch["cloudy"].shape == (2, 3, 16, 24) and len(batch["name"]) == 2
    (batch,) = list(module.val_dataloader())
    assert batch["name"] == ["11", "12"]
    single = torch.stack([module.val_dataset[i]["cloudy"] for i in range(2)])
    assert torch.equal(batch["cloudy"], single)


def test_under_lightning_a_batch_stays_as_it_is(make_pairs):
    root = make_pairs()
    write_split(root)
    module = PairedFolder(root, val="test")
    module.setup("fit")
    batch = next(iter(module.train_dataloader()))
    module.trainer = type("Trainer", (), {"training": True})()
    assert torch.equal(module.on_after_batch_transfer(dict(batch), 0)["clear"], batch["clear"])


def test_folders_are_a_split(make_pairs):
    make_pairs("train")
    root = make_pairs("test", names=("1", "7")).parent
    module = PairedFolder(root, split="folders", val=0.4)
    module.setup()
    assert len(module.train_dataset) == 3 and len(module.val_dataset) == 2
    assert module.test_dataset.names == ("1", "7")
    held_out = set(module.val_dataset.names)
    assert held_out | set(module.train_dataset.names) == {"1", "2", "10", "11", "12"}
    assert not held_out & set(module.train_dataset.names)
    again = PairedFolder(root, split="folders", val=0.4)
    again.setup("validate")
    assert set(again.val_dataset.names) == held_out


def test_a_validation_list_in_the_split_is_used(make_pairs):
    root = make_pairs()
    write_split(root, {"train": ["1"], "val": ["2"], "test": [10, 11]})
    module = PairedFolder(root)
    module.setup()
    assert [d.names for d in (module.train_dataset, module.val_dataset, module.test_dataset)] == [
        ("1",),
        ("2",),
        ("10", "11"),
    ]


def test_the_record_tells_which_pairs_were_used(make_pairs):
    root = make_pairs()
    write_split(root)
    module = PairedFolder(root, val=None)
    module.setup("fit")
    assert module.split_record() == {"train": {"count": 3, "digest": digest(["10", "2", "1"]), "split": "split.json"}}
    module.setup("test")
    assert module.split_record()["test"]["digest"] == digest(["11", "12"]) != digest(["11"])


def test_sentinel_2_bands_are_chosen_and_ordered(make_pairs):
    root = make_pairs(bands=13, dtype="uint16", suffix=".tif")
    write_split(root)
    module = PairedFolder(root, bands=[4, 3, 2], value_range=[0, 250], band_names=["red", "green", "blue"])
    module.setup("test")
    assert module.bands == 3 and module.band_names == ("red", "green", "blue")
    sample = module.test_dataset[0]
    raw = read_image(root / "cloud" / "11.tif").astype(np.float32)
    np.testing.assert_allclose(sample["cloudy"][0].numpy(), raw[3] / 125 - 1, atol=1e-6)
    np.testing.assert_allclose(sample["cloudy"][2].numpy(), raw[1] / 125 - 1, atol=1e-6)


def test_reduced_pictures_are_means_and_their_masks_keep_every_cloud(make_pairs):
    root = make_pairs(mask=True, size=(32, 32))
    mask = np.zeros((1, 32, 32), np.uint8)
    mask[0, 5, 8] = 255
    write_image(root / "mask" / "11.png", mask, overwrite=True)
    write_split(root)
    dataset = PairedFolderDataset(root, "test", mask="mask", reduce=2)
    sample = dataset[0]
    assert sample["cloudy"].shape == (3, 16, 16)
    assert sample["mask"].nonzero().tolist() == [[0, 2, 4]]
    raw = read_image(root / "label" / "11.png")
    assert abs((sample["clear"].mean() + 1) * 127.5 - raw.mean()) < 1
    values = (sample["clear"].numpy() + 1) * 127.5
    assert np.abs(values - np.rint(values)).max() > 0.3  # not rounded to 8 bits


def cubic(x):
    x = np.abs(x)
    inner, outer = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, inner, np.where(x <= 2, outer, 0))


def imresize_half(line):
    """MATLAB's imresize(line, 0.5) of a vector: Keys' cubic, a = -0.5, widened by 2, mirrored at the ends."""
    n = len(line)
    out = []
    for i in range(n // 2):
        centre = (i + 0.5) * 2 - 0.5
        at = np.arange(int(np.floor(centre - 4)), int(np.ceil(centre + 4)) + 1)
        weights = cubic((centre - at) / 2)
        mirrored = np.where(at < 0, -at - 1, np.where(at >= n, 2 * n - at - 1, at))
        out.append((weights * line[mirrored]).sum() / weights.sum())
    return np.array(out)


def test_shrink_is_matlabs_bicubic_but_for_the_border():
    image = np.random.default_rng(0).integers(0, 256, (2, 32, 40)).astype(np.uint8)
    rows = np.apply_along_axis(imresize_half, 1, image.astype(float))
    expected = np.apply_along_axis(imresize_half, 2, rows)
    ours = downsample(torch.from_numpy(image.astype(np.float32)), 2).numpy()
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours[:, 2:-2, 2:-2], expected[:, 2:-2, 2:-2], atol=1e-3)
    assert np.abs(ours - expected).max() > 1  # the border differs: we do not claim otherwise


def test_pictures_are_decoded_once(make_pairs, monkeypatch):
    root = make_pairs()
    write_split(root)
    calls = []
    dataset = PairedFolderDataset(root, "test")
    monkeypatch.setattr(dataset, "load", lambda index, load=dataset.load: calls.append(index) or load(index))
    first, second = dataset[0], dataset[0]
    assert calls == [0] and torch.equal(first["cloudy"], second["cloudy"])
    first["cloudy"].zero_()  # what a caller does to its sample does not reach the cache
    assert torch.equal(dataset[0]["cloudy"], second["cloudy"])


def test_a_data_set_above_the_limit_is_not_kept(make_pairs, monkeypatch):
    root = make_pairs()
    write_split(root)
    monkeypatch.setattr("declouds.datamodules.pair_dataset.CACHE_LIMIT", 2 * 16 * 24 * 7 - 1)
    assert not PairedFolderDataset(root, "test")._keep
    monkeypatch.setattr("declouds.datamodules.pair_dataset.CACHE_LIMIT", 2 * 16 * 24 * 7)
    assert PairedFolderDataset(root, "test")._keep
    assert not PairedFolderDataset(root, "test", cache=False)._keep


def test_the_cache_is_not_pickled(make_pairs):
    root = make_pairs()
    write_split(root)
    dataset = PairedFolderDataset(root, "test")
    before = len(pickle.dumps(dataset))
    sample = dataset[0]
    assert len(pickle.dumps(dataset)) == before
    assert torch.equal(pickle.loads(pickle.dumps(dataset))[0]["clear"], sample["clear"])


def test_plot_shows_what_the_sample_holds(make_pairs):
    root = make_pairs(bands=4, mask=True)
    write_split(root)
    module = PairedFolder(root, mask="mask", val="test", bands=[1, 2, 3, 4])
    module.setup("fit")
    sample = module.val_dataset[0]
    figure = module.plot(sample, suptitle="one")
    assert [axis.get_title() for axis in figure.axes] == ["cloudy", "clear", "mask"]
    assert figure.axes[0].get_images()[0].get_array().shape == (16, 24, 3)
    assert figure.get_suptitle() == "one"
    figure = module.plot(sample | {"prediction": sample["clear"]}, show_titles=False)
    assert [axis.get_title() for axis in figure.axes] == [""] * 4
    figure = module.plot({"cloudy": sample["cloudy"][:1], "clear": sample["clear"][:1]})
    assert len(figure.axes) == 2


# -- what goes wrong, found from names and headers -------------------------------------------------------------------


def fails(root, message, **arguments):
    module = PairedFolder(root, **arguments)
    with pytest.raises(UserError, match=message):
        module.setup()


def test_missing_partners_are_listed(make_pairs):
    root = make_pairs()
    write_split(root)
    (root / "label" / "2.png").unlink()
    (root / "cloud" / "11.png").rename(root / "cloud" / "99.png")
    fails(root, r"only in .*cloud: 2, 99; only in .*label: 11: add the partner or remove the image")


def test_folders_that_are_not_there(make_pairs, tmp_path):
    root = make_pairs()
    write_split(root)
    fails(root, r"hazy: no such folder", cloudy="hazy")
    fails(root, r"shadow: no such folder", mask="shadow")
    fails(root, r"none of the folders train, val, test", split="folders")
    (root / "empty").mkdir()
    (root / "empty" / "notes.txt").write_text("x")
    fails(root, r"empty: holds no image", clear="empty")


def test_two_files_of_one_name(make_pairs):
    root = make_pairs()
    write_split(root)
    write_image(root / "cloud" / "2.tif", np.zeros((3, 16, 24), np.uint8))
    fails(root, "have the same name: remove one of them")


def test_hidden_files_are_no_images(make_pairs):
    root = make_pairs()
    write_split(root)
    (root / "cloud" / "._2.png").write_bytes(b"left by another system")
    (root / "cloud" / "Thumbs.db").write_bytes(b"x")
    PairedFolder(root).setup()


@pytest.mark.parametrize(
    ("shape", "dtype", "message"),
    [
        ((3, 16, 25), "uint8", "16x25 uint8, but .* is 16x24 uint8: the images of a pair must have the same size"),
        ((4, 16, 24), "uint8", "has 4 bands, but .* has 3"),
        ((3, 16, 24), "uint16", "16x24 uint16, but .* is 16x24 uint8"),
    ],
)
def test_pairs_that_do_not_fit_together(make_pairs, shape, dtype, message):
    root = make_pairs(suffix=".tif")
    write_split(root)
    write_image(root / "label" / "2.tif", np.zeros(shape, dtype), overwrite=True)
    fails(root, r"2\.tif " + message if "has 4" in message else message)


def test_a_mask_of_another_size(make_pairs):
    root = make_pairs(mask=True)
    write_split(root)
    write_image(root / "mask" / "2.png", np.zeros((1, 8, 8), np.uint8), overwrite=True)
    fails(root, r"mask/2.png is 8x8, but .* a mask must have the same size as its image", mask="mask")


def test_pairs_that_differ_from_the_others(make_pairs):
    root = make_pairs()
    for side in ("cloud", "label"):
        write_image(root / side / "2.png", np.zeros((1, 16, 24), np.uint8), overwrite=True)
    write_split(root)
    fails(root, r"2.png has 1 bands of uint8, but .*1.png has 3 of uint8: all pairs must agree", val=None)
    write_split(root, {"train": ["1"], "test": ["2"]})
    fails(root, r"parts of the data set differ in bands \(train 3, test 1\)", val=None)


def test_bands_that_do_not_exist(make_pairs):
    root = make_pairs()
    write_split(root)
    fails(root, "no band 4: choose from bands 1 to 3", bands=[1, 4])
    fails(root, "no band 0: choose from bands 1 to", bands=[0])
    fails(root, "images have 3 bands: give one name per band", band_names=["red"])


def test_a_type_without_a_known_range(make_pairs):
    root = make_pairs(dtype="uint16", suffix=".tif")
    write_split(root)
    fails(root, r"uint16 images have no known range: give value_range=\(low, high\)")
    fails(root, "from low to high", value_range=(100, 0))
    fails(root, "give two sensor values", value_range=(1, 2, 3))


def test_a_size_that_cannot_be_reduced(make_pairs):
    root = make_pairs(size=(16, 25))
    write_split(root)
    fails(root, "reduce=2 does not divide the size of", reduce=2)
    fails(root, "reduce must be at least 1, got 0", reduce=0)


def test_an_unknown_argument_is_refused_when_built(tmp_path):
    with pytest.raises(UserError, match="unknown argument 'cloudly': did you mean 'cloudy'"):
        DATAMODULES.build({"type": "PairedFolder", "root": tmp_path, "cloudly": "x"})


def test_an_unknown_stage_and_part(make_pairs):
    root = make_pairs()
    write_split(root)
    with pytest.raises(UserError, match="unknown stage 'train': known"):
        PairedFolder(root).setup("train")
    with pytest.raises(UserError, match="unknown part 'training': known"):
        PairedFolderDataset(root, "training")


# -- what goes wrong when pixels are read --------------------------------------------------------------------------


def test_a_file_cut_short_is_found_when_read(make_pairs):
    root = make_pairs()
    write_split(root)
    path = root / "label" / "11.png"
    path.write_bytes(path.read_bytes()[:-30])
    dataset = PairedFolderDataset(root, "test")
    with pytest.raises(UserError, match=r"label/11.png: the PNG is cut short"):
        dataset[0]
    assert dataset[1]["name"] == "12"


@pytest.mark.parametrize("value", [np.nan, np.inf, np.finfo("float32").min])
def test_values_that_are_no_numbers_are_gaps(make_pairs, value):
    """As in scenes: the network sees the nearest pixel with data, and losses and scores leave the gap out."""
    root = make_pairs(dtype="float32", suffix=".tif")
    write_split(root)
    broken = read_image(root / "cloud" / "11.tif")
    neighbours = [broken[:, row, col].tolist() for row, col in ((2, 4), (1, 3), (3, 3))]
    broken[1, 2, 3] = value
    broken[:, 2, 2] = np.nan
    write_image(root / "cloud" / "11.tif", broken, overwrite=True)
    dataset = PairedFolderDataset(root, "test", value_range=(0, 255))
    sample = dataset[0]
    assert sample["valid"].dtype == torch.bool and sample["valid"].shape == (1, 16, 24)
    assert np.argwhere(~sample["valid"][0].numpy()).tolist() == [[2, 2], [2, 3]]
    seen = dataset.value_range.from_model(sample["cloudy"].numpy(), "float32")
    assert np.rint(seen[:, 2, 3]).tolist() in neighbours
    assert dataset[1]["valid"].all()
    write_image(root / "cloud" / "11.tif", np.full_like(broken, value), overwrite=True)
    with pytest.raises(UserError, match=r"cloud/11.tif: all pixels are nodata"):
        PairedFolderDataset(root, "test", value_range=(0, 255))[0]


@pytest.mark.parametrize("reduce", [1, 2])
def test_nodata_is_filled_and_left_out(make_pairs, reduce):
    """Of either image; and a pixel that is 0 in some bands only is data."""
    root = make_pairs(dtype="uint16", suffix=".tif")
    write_split(root)
    for side, row in (("cloud", 0), ("label", 5)):
        for name in ("11", "12"):
            pixels = read_image(root / side / f"{name}.tif")
            pixels[:, row] = 0
            pixels[0, 9] = 0
            (root / side / f"{name}.tif").unlink()
            with rasterio.open(root / side / f"{name}.tif", "w", driver="GTiff", count=3, height=16, width=24,
                               dtype="uint16", nodata=0) as file:  # fmt: skip
                file.write(pixels)
    sample = PairedFolderDataset(root, "test", value_range=(0, 255), reduce=reduce)[0]
    rows = np.flatnonzero(~sample["valid"][0].numpy().all(1)).tolist()
    assert rows == ([0, 5] if reduce == 1 else [0, 2])
    if reduce == 1:
        assert torch.equal(sample["cloudy"][:, 0], sample["cloudy"][:, 1])
        assert (sample["cloudy"][0, 9] == -1).all() and sample["valid"][0, 9].all()


def test_transparency_is_no_image_band(make_pairs, tmp_path):
    """Also in some of the pictures only; asked for by number it is one."""
    root = make_pairs(bands=3)
    write_split(root)
    pixels = np.concatenate([read_image(root / "cloud" / "11.png"), np.full((1, 16, 24), 255, np.uint8)])
    pixels[3, 4] = 0
    write_image(root / "cloud" / "11.png", pixels, overwrite=True)
    dataset = PairedFolderDataset(root, "test")
    assert dataset.bands == 3 and not dataset[0]["valid"][0, 4].any() and dataset[0]["valid"].sum() == 15 * 24
    assert dataset[1]["valid"].all()
    grey = make_pairs("grey", bands=2)
    write_split(grey)
    assert PairedFolderDataset(grey, "test").bands == 1
    assert PairedFolderDataset(grey, "test", bands=[1, 2]).bands == 2


def test_a_data_module_knows_its_units(make_pairs):
    root = make_pairs(dtype="uint16", suffix=".tif")
    write_split(root)
    module = PairedFolder(root, val=None, value_range=(0, 2), scale=0.01, offset=-0.1)
    module.setup("fit")
    assert (module.units.scale, module.units.offset) == (0.01, -0.1)


def test_pairs_that_exif_data_turn_differently_are_refused(make_pairs):
    root = make_pairs(names=("1", "2"), mask=True)
    write_split(root, {"train": ["1"], "test": ["2"]})
    turned = root / "label" / "1.png"
    turned.write_bytes(with_orientation(turned.read_bytes(), 3))
    message = r"1.png has the EXIF orientation [13], but .*1.png [13]: turn"
    with pytest.raises(UserError, match=message):
        PairedFolderDataset(root, val=None)
    with pytest.raises(UserError, match=message):
        find_pairs(root / "cloud", root / "label")
    cloudy = root / "cloud" / "1.png"
    cloudy.write_bytes(with_orientation(cloudy.read_bytes(), 3))
    assert len(PairedFolderDataset(root, val=None)) == len(find_pairs(root / "cloud", root / "label")) - 1 == 1
    for wrong in (lambda: PairedFolderDataset(root, mask="mask", val=None),
                  lambda: find_pairs(root / "cloud", root / "label", root / "mask")):  # fmt: skip
        with pytest.raises(UserError, match=message):
            wrong()


def as_gdal_writes(path, pixels):
    """Write a GeoTIFF whose fourth 8-bit band is marked as transparency."""
    path.unlink(missing_ok=True)
    bands, height, width = pixels.shape
    size = dict(count=bands, height=height, width=width, dtype="uint8")
    with rasterio.open(path, "w", driver="GTiff", **size) as file:
        file.write(pixels)
        assert file.colorinterp[3].name == "alpha"


@pytest.mark.parametrize("edge", [0, 128])
def test_the_fourth_8_bit_band_of_a_geotiff_is_what_its_values_say(make_pairs, edge):
    """Near infrared varies; opacity is one value, with gaps and perhaps a soft edge."""
    root = make_pairs(bands=4, suffix=".tif")
    write_split(root)
    for path in root.glob("*/*.tif"):
        as_gdal_writes(path, read_image(path))
    assert PairedFolderDataset(root, "test").bands == 4
    for path in root.glob("*/*.tif"):
        pixels = read_image(path)
        pixels[3], pixels[3, 3], pixels[3, 4] = 255, edge, 0
        as_gdal_writes(path, pixels)
    dataset = PairedFolderDataset(root, "test")
    assert dataset.bands == 3 and dataset.has_gaps
    assert not dataset[0]["valid"][0, 4].any() and dataset[0]["valid"].sum() == (15 if edge else 14) * 24
    four = PairedFolderDataset(root, "test", bands=[4, 1, 2, 3])[0]
    assert four["cloudy"].shape[0] == 4 and four["valid"].all()


def test_a_measured_band_is_not_taken_for_the_opacity_of_a_png(make_pairs):
    root = make_pairs(bands=4)
    write_split(root)
    pixels = read_image(root / "cloud" / "11.png")
    pixels[3, 4] = 0
    write_image(root / "cloud" / "11.png", pixels, overwrite=True)
    with pytest.raises(UserError, match=r"11.png: band 4 is marked as transparency, and its values vary.*`bands`"):
        PairedFolderDataset(root, "test")[0]
    for bands in ([1, 2, 3], [1, 2, 3, 4]):
        assert PairedFolderDataset(root, "test", bands=bands)[0]["valid"].all()


@pytest.mark.parametrize(
    ("pixels", "profile", "message"),
    [
        (np.arange(3 * 384).reshape(3, 16, 24) % 5, {}, "1.tif: has 3 bands that differ, and a mask has one"),
        (np.eye(16, 24)[None] * 255, dict(nodata=255), r"4.17% of its pixels have no class \(its nodata value is 255"),
        (np.where(np.eye(16, 24), np.nan, 0)[None], dict(dtype="float32"), "4.17% of its pixels have no class"),
    ],
)
def test_a_mask_has_one_class_a_pixel(make_pairs, pixels, profile, message):
    root = make_pairs(names=("1", "2"), mask=True)
    write_split(root, {"train": ["1"], "test": ["2"]})
    (root / "mask" / "1.png").unlink()
    profile = dict(dict(count=len(pixels), height=16, width=24, dtype="uint8"), **profile)
    with rasterio.open(root / "mask" / "1.tif", "w", driver="GTiff", **profile) as file:
        file.write(pixels.astype(profile["dtype"]))
    with pytest.raises(UserError, match=message):
        PairedFolderDataset(root, mask="mask", val=None)[0]
    with pytest.raises(UserError, match=message):
        read_pair(PicturePair("1", *[root / "label" / "1.png"] * 2, root / "mask" / "1.tif"), None)


def test_equal_bands_and_nodata_0_are_a_mask(make_pairs):
    root = make_pairs(names=("1", "2"), mask=True)
    write_split(root, {"train": ["1"], "test": ["2"]})
    pixels = np.repeat(np.eye(16, 24, dtype=np.uint8)[None], 3, 0)
    (root / "mask" / "1.png").unlink()
    with rasterio.open(root / "mask" / "1.tif", "w", driver="GTiff", count=3, height=16, width=24, dtype="uint8",
                       nodata=0) as file:  # fmt: skip
        file.write(pixels)
    assert PairedFolderDataset(root, mask="mask", val=None)[0]["mask"].numpy().tolist() == pixels[:1].tolist()


def test_the_files_own_scale_and_offset(make_pairs):
    root = make_pairs(dtype="uint16", suffix=".tif")
    write_split(root)
    stored = {}
    for path in [*(root / "cloud").iterdir(), *(root / "label").iterdir()]:
        with rasterio.open(path, "r+") as file:
            file.scales, file.offsets = (0.01,) * 3, (-0.1,) * 3
            stored[path.parent.name, path.stem] = file.read()
    dataset = PairedFolderDataset(root, "test", value_range=(0, 3))
    meant = np.clip((stored["cloud", "11"] * 0.01 - 0.1) / 3 * 2 - 1, -1, 1)
    np.testing.assert_allclose(dataset[0]["cloudy"].numpy(), meant, atol=1e-5)
    assert dataset.value_range == ValueRange(0, 3)
    as_stored = PairedFolderDataset(root, "test", value_range=(0, 255), scale=1)
    np.testing.assert_allclose(as_stored[0]["cloudy"].numpy(), stored["cloud", "11"] / 127.5 - 1, atol=1e-5)
    with pytest.raises(UserError, match=r"scaled \(stored \* 0.01 - 0.1.* value_range is not set"):
        PairedFolderDataset(root, "test")
    with pytest.raises(UserError, match=r"which stand for .*by the file's own scale and offset.*lie outside"):
        PairedFolderDataset(root, "test", value_range=(0, 10000))[0]
    with rasterio.open(root / "cloud" / "12.tif", "r+") as file:
        file.scales = (1,) * 3
    with pytest.raises(UserError, match="differ in scale and offset"):
        PairedFolderDataset(root, "test", value_range=(0, 3))


def test_values_outside_the_range(make_pairs):
    root = make_pairs(dtype="uint16", suffix=".tif")
    write_split(root)
    dataset = PairedFolderDataset(root, "test", value_range=(1000, 2000))
    with pytest.raises(UserError, match=r"11.tif: all values .* lie outside value_range \(1000, 2000\)"):
        dataset[0]
    for path in (root / "cloud").iterdir():
        pixels = read_image(path) * 40  # up to 10000
        pixels[0, 0, 0] = 0
        write_image(path, pixels, overwrite=True)
    assert PairedFolderDataset(root, "test", value_range=(0, 10000))[0]["cloudy"].max() < 1
    with pytest.raises(
        UserError, match=r"11.tif: all values \(0 to .* or 99 % of them lie outside value_range \(0, 255\)"
    ):
        PairedFolderDataset(root, "test", value_range=(0, 255))[0]


def test_a_type_that_cannot_hold_the_range(make_pairs):
    root = make_pairs()
    write_split(root)
    for value_range in ((0, 10000), (0, 1)):
        with pytest.raises(UserError, match=r"11.png: is uint8, which cannot hold value_range 0 to 10*: give"):
            PairedFolderDataset(root, "test", value_range=value_range)
    PairedFolderDataset(root, "test", value_range=(0, 2550), scale=10)


def test_a_mask_beside_the_file_counts_as_one_in_it(make_pairs):
    root = make_pairs(dtype="uint16", suffix=".tif")
    write_split(root)
    mask = np.full((16, 24), 255, np.uint8)
    mask[:5] = 0
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK="NO"), rasterio.open(root / "label" / "11.tif", "r+") as file:
        file.write_mask(mask)
    assert (root / "label" / "11.tif.msk").is_file()
    sample = PairedFolderDataset(root, "test", value_range=(0, 255))[0]
    np.testing.assert_array_equal(sample["valid"][0].numpy(), mask != 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(cache="no"), "cache = 'no': give True or False"),
        (dict(reduce="2"), "reduce = '2': give an integer"),
        (dict(reduce=2.5), "reduce = 2.5: give an integer"),
        (dict(reduce=True), "reduce = True: give an integer"),
        (dict(bands="123"), "bands = '123': give a list, each entry an integer or None"),
        (dict(value_range=(0, "9")), "value_range = a tuple: give a ValueRange or a list, each entry a number or None"),
        (dict(band_names="rgb"), "band_names = 'rgb': give a list, each entry text"),
        (dict(batch_size="4"), "batch_size = '4': give an integer"),
        (dict(num_workers=None), "num_workers = None: give an integer"),
        (dict(scale="1e-4"), "scale = '1e-4': give a number or None"),
        (dict(split=3), "split = 3: give text or a path or a dict"),
        (dict(part="test"), "datamodule PairedFolder cannot be built"),
        (dict(caches=True), "unknown argument 'caches': did you mean 'cache'?"),
    ],
)
def test_arguments_of_another_kind_are_refused_by_name(tmp_path, arguments, message):
    with pytest.raises(UserError) as caught:
        DATAMODULES.build({"type": "PairedFolder", "root": tmp_path, **arguments})
    assert message in str(caught.value)


def test_a_missing_root_is_told_with_its_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for module in ("PairedFolder", "RICE", "CUHKCR"):
        with pytest.raises(UserError) as caught:
            DATAMODULES.build({"type": module, "root": "absent"}).setup("fit")
        assert str(caught.value).startswith(f"root='absent': {tmp_path}/absent is no folder")


def test_numpy_numbers_are_numbers(make_pairs):
    root = make_pairs()
    write_split(root)
    arguments = dict(bands=[3, 1], reduce=np.int64(2), value_range=(np.float32(0), 255), cache=np.bool_(True))
    module = PairedFolder(root, val=None, **arguments)
    module.setup("fit")
    assert module.train_dataset[0]["cloudy"].shape == (2, 8, 12)
