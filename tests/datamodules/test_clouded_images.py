"""Simulated clouds over clear images: files and bands, windows, seeds, masks, units."""

import logging

import numpy as np
import pytest
import rasterio
import torch
from torch.utils.data import DataLoader

from declouds import image_io
from declouds.datamodules.clouded_images import CloudedImages, CloudedImagesDataset, dim_over
from declouds.errors import UserError
from declouds.image_io import write_image
from declouds.registry import DATAMODULES
from declouds.simulation.scene import clear_scene
from declouds.training.training_data import EvaluationImages, StageBatches, TrainingPatches, train_loader

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def picture(seed, height=48, width=48, bands=3, dtype="uint8", white=255):
    image = clear_scene(np.random.default_rng(seed), height, width, bands) * white
    return image.astype(dtype)


@pytest.fixture
def folder(tmp_path):
    """Ten pictures, four of them in a subfolder."""
    (tmp_path / "clear/more").mkdir(parents=True)
    for number in range(10):
        write_image(tmp_path / "clear" / ("more" if number > 5 else "") / f"{number}.png", picture(number))
    return tmp_path / "clear"


def dataset(root, part="train", size=32, **arguments):
    return CloudedImagesDataset(root, part, size=size, **arguments)


def geotiff(path, image, names=(), **profile):
    count, height, width = image.shape
    profile = dict(driver="GTiff", count=count, height=height, width=width, dtype=image.dtype.name) | profile
    with rasterio.open(path, "w", **profile) as file:
        file.write(image)
        if names:
            file.descriptions = names
    return path


def test_all_images_below_the_folders_are_divided_by_name(folder):
    module = DATAMODULES.build(dict(type="CloudedImages", root=str(folder), size=32, val=0.2, test=0.3))
    module.setup()
    names = {part: set(getattr(module, f"{part}_dataset").names) for part in ("train", "val", "test")}
    assert {part: len(found) for part, found in names.items()} == {"train": 5, "val": 2, "test": 3}
    assert set().union(*names.values()) == {*map(str, range(6)), *(f"more__{n}" for n in range(6, 10))}
    assert module.band_names == ("red", "green", "blue") and module.bands == 3
    assert (module.value_range.low, module.value_range.high) == (0, 255)
    record = module.split_record()["train"]
    assert record["count"] == 5 and record["split"] == "held out by name"
    assert [axis.get_title() for axis in module.plot(module.train_dataset[0]).axes] == ["cloudy", "clear", "mask"]


def test_a_split_file_and_folders_divide_too(folder):
    (folder / "split.json").write_text('{"train": ["0", "more__7"], "test": ["3"]}')
    module = CloudedImages(folder, "split.json", size=32, val=None)
    module.setup()
    assert module.train_dataset.names == ("0", "more__7") and module.test_dataset.names == ("3",)
    assert module.val_dataset is None and module.split_record()["test"]["split"] == "split.json"
    (folder / "more").rename(folder / "test")
    (folder / "train").mkdir()
    for name in "012345":
        (folder / f"{name}.png").rename(folder / "train" / f"{name}.png")
    module = CloudedImages(folder, "folders", size=32, val=0.5)
    module.setup()
    assert [len(d) for d in (module.train_dataset, module.val_dataset, module.test_dataset)] == [3, 3, 4]


def test_several_roots_and_names_that_would_be_the_same(folder, tmp_path):
    with pytest.raises(UserError, match="'nowhere'"):
        CloudedImages(["nowhere"]).setup("fit")
    with pytest.raises(UserError, match=r"clear/more lies in .*clear, .*twice"):
        dataset([str(folder / "more"), str(folder)])
    (tmp_path / "other").mkdir()
    write_image(tmp_path / "other/new.png", picture(33))
    module = CloudedImages([folder, str(tmp_path / "other")], size=32, val=None, test=None)
    module.setup("fit")
    assert len(module.train_dataset) == 11 and "new" in module.train_dataset.names
    write_image(tmp_path / "other/3.png", picture(3))
    with pytest.raises(UserError, match=r"other/3.png and .*clear/3.png would both be called 3"):
        dataset([str(folder), str(tmp_path / "other")])


def test_a_position_of_the_stream_has_its_own_clouds_whatever_the_workers(folder):
    data = dataset(folder, shares={"thin": 1}, thickness=(0.5, 1), other_sensors=0)
    patches, again = (TrainingPatches(data, crop=24, seed=4) for _ in range(2))
    samples = [patches[position] for position in range(16)]
    for position in (13, 2, 7):
        assert torch.equal(again[position]["cloudy"], samples[position]["cloudy"])
    first = [position for position, sample in enumerate(samples) if sample["name"] == samples[0]["name"]]
    assert len(first) == 2  # of two epochs
    veils = [samples[position]["cloudy"] - samples[position]["clear"] for position in first]
    assert not torch.allclose(veils[0].mean(), veils[1].mean(), atol=1e-3)
    batches = StageBatches(4, 2)
    loader = iter(train_loader(patches, batches, workers=2))
    for start in (0, 4):
        expected = torch.stack([sample["cloudy"] for sample in samples[start : start + 4]])
        assert torch.equal(next(loader)["cloudy"], expected)
    assert not torch.equal(TrainingPatches(data, crop=24, seed=5)[0]["cloudy"], samples[0]["cloudy"])
    assert not torch.equal(TrainingPatches(data, crop=24, seed=4, stage=1)[0]["cloudy"], samples[0]["cloudy"])


def test_validation_samples_depend_on_their_name_and_the_seed_alone(folder):
    one, cached = dataset(folder, "val", cache=False, val=0.2), dataset(folder, "val", val=0.2)
    for index in (1, 0, 1):
        assert torch.equal(one[index]["cloudy"], cached[index]["cloudy"])
    assert not torch.equal(dataset(folder, "val", val=0.2, seed=1)[0]["cloudy"], one[0]["cloudy"])
    batch = next(iter(DataLoader(one, batch_size=2, num_workers=2)))
    assert torch.equal(batch["cloudy"], torch.stack([one[0]["cloudy"], one[1]["cloudy"]]))
    assert EvaluationImages(one, 3)[0]["mask"].shape == (1, 32, 32)
    for name in "0123456":  # the image keeps its clouds whatever others there are
        if name not in one.names and (folder / f"{name}.png").exists():
            (folder / f"{name}.png").unlink()
            break
    fewer = dataset(folder, "val", val=0.2)
    assert torch.equal(fewer[fewer.names.index(one.names[0])]["cloudy"], one[0]["cloudy"])


@pytest.mark.parametrize("kind", ["thin", "thick", "mixed", "clear"])
def test_the_mask_is_exact_in_stored_values_too(folder, kind):
    data, covered = dataset(folder, shares={kind: 1}), 0
    for seed in range(6):
        sample = data.draw(0, seed)
        covered += int(sample["mask"].sum())
        assert sample["cloudy"].dtype == sample["mask"].dtype == sample["thickness"].dtype == torch.float32
        assert ((sample["mask"] == 1) == (sample["thickness"] > 0)).all()
        outside = (sample["mask"] == 0).expand(3, -1, -1)
        assert (sample["cloudy"][outside] <= sample["clear"][outside]).all()
        if kind in ("thin", "clear"):
            assert torch.equal(sample["cloudy"][outside], sample["clear"][outside])
        steps = (sample["cloudy"] + 1) * 127.5
        torch.testing.assert_close(steps, steps.round(), atol=1e-3, rtol=0)  # as an 8-bit image has them
    assert (covered > 0) == (kind != "clear")


def test_a_share_stays_clear_and_another_looks_as_by_another_sensor(folder):
    data = dataset(folder, size=48, shares={"clear": 1, "thin": 1}, other_sensors=0.5, coarser=0)
    stored = data[0]["clear"]
    samples = [data.draw(0, seed) for seed in range(80)]
    clear = np.mean([torch.equal(sample["cloudy"], sample["clear"]) for sample in samples])
    same = np.mean([torch.equal(sample["clear"], stored) for sample in samples])
    assert 0.35 < clear < 0.65 and 0.35 < same < 0.65


def test_a_share_is_shown_as_reflectance_in_the_range_that_a_scene_would_be_found_to_have(folder):
    pictures = dataset(folder, size=48, shares=dict(thick=1.0), other_sensors=0)
    dark = dataset(folder, size=48, shares=dict(thick=1.0), other_sensors=0, reflectance=1.0)
    grounds = [[float(data.draw(0, seed)["clear"].median()) for seed in range(20)] for data in (pictures, dark)]
    assert np.median(grounds[1]) < np.median(grounds[0]) - 0.3
    ends = [float(dark.draw(0, seed)["cloudy"].max()) for seed in range(20)]
    assert min(ends) > -1 and np.median(ends) > 0.5
    assert torch.equal(dark.draw(0, 3)["cloudy"], dark.draw(0, 3)["cloudy"])


def test_clouds_are_cut_from_masks(folder, tmp_path):
    (tmp_path / "masks").mkdir()
    half = np.zeros((1, 80, 80), np.uint8)
    half[:, :, :40] = 1
    write_image(tmp_path / "masks/a_mask.tif", half)
    for masks in (tmp_path / "masks", tmp_path / "masks/*_mask.tif"):
        data = dataset(folder, size=48, shares={"masks": 1}, cloud_masks=str(masks))
        cover = np.mean([data.draw(0, seed)["mask"].mean() for seed in range(20)])
        assert 0.25 < cover < 0.75
    assert data.content() != dataset(folder, size=48).content()
    with pytest.raises(UserError, match=r"cloud_masks=.*nowhere.*no such folder"):
        dataset(folder, cloud_masks=str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match="give `cloud_masks`"):
        dataset(folder, shares={"masks": 1})


def test_windows_of_a_large_raster_are_read_without_the_rest(tmp_path, monkeypatch):
    image = picture(0, 200, 170, 4, "uint16", 10000)
    tiled = dict(tiled=True, blockxsize=16, blockysize=16, compress="deflate")
    geotiff(tmp_path / "scene.tif", image, ("B04", "B03", "B02", "B08"), **tiled)
    reads = []
    original = image_io.Window
    monkeypatch.setattr(image_io, "Window", lambda *place: reads.append(place) or original(*place))
    data = dataset(
        tmp_path, bands=("nir", "red", "green"), value_range=(0, 10000), val=None, test=None, shares={"clear": 1},
        other_sensors=0, coarser=0,
    )  # fmt: skip
    assert data.band_names == ("nir", "red", "green") and data.wavelengths == (0.842, 0.665, 0.56)
    assert len(data) == 6 * 5 and data.names[:2] == ("scene@0", "scene@1")
    as_stored = (data[7]["clear"].numpy() + 1) * 5000
    np.testing.assert_allclose(as_stored, image[[3, 0, 1], 32:64, 64:96], atol=0.01)
    places = set()
    for seed in range(10):
        reads.clear()
        sample = (data.draw(0, seed)["clear"].numpy() + 1) * 5000
        ((left, top, width, height),) = reads
        assert (width, height) == (32, 32)
        np.testing.assert_allclose(sample, image[[3, 0, 1], top : top + 32, left : left + 32], atol=0.01)
        places.add((top, left))
    assert len(places) > 7


def test_half_resolution_where_the_image_is_large_enough(tmp_path):
    write_image(tmp_path / "a.png", np.indices((64, 64)).sum(0, keepdims=True).repeat(3, 0).astype(np.uint8))
    data = dataset(tmp_path, shares={"clear": 1}, other_sensors=0, coarser=1, val=None, test=None)
    steps = np.diff((data.draw(0, 0)["clear"].numpy() + 1) * 127.5, axis=2)
    np.testing.assert_allclose(steps[:, 4:-4, 4:-4], 2, atol=0.01)


def test_a_block_that_is_missing_is_noticed_where_it_is_read(tmp_path):
    profile = dict(tiled=True, blockxsize=16, blockysize=16, sparse_ok=True, count=3, dtype="uint8")
    with rasterio.open(tmp_path / "a.tif", "w", driver="GTiff", height=64, width=64, **profile) as file:
        file.write(np.full((3, 32, 64), 7, np.uint8), window=((0, 32), (0, 64)))
    data = dataset(tmp_path, val=None, test=None)
    assert data[0]["clear"].shape == (3, 32, 32)
    with pytest.raises(UserError, match=r"a\.tif: the GeoTIFF lacks pixels"):
        data[3]


def test_nodata_is_filled_and_not_valid_and_windows_lie_where_there_are_data(tmp_path):
    image = np.maximum(picture(1, 96, 96), 1)
    image[:, :, :56] = 0
    geotiff(tmp_path / "a.tif", image, nodata=0)
    write_image(tmp_path / "b.tif", picture(2))
    data = dataset(tmp_path, val=None, test=None, other_sensors=0)
    samples = [*(data[index] for index in range(len(data))), *(data.draw(0, seed) for seed in range(8))]
    for sample in samples:
        assert sample["valid"].shape == (1, 32, 32) and sample["valid"].float().mean() >= 0.5
        assert sample["clear"].min() > -1 or sample["valid"].all()
    assert any(not sample["valid"].all() for sample in samples)
    geotiff(tmp_path / "a.tif", np.zeros_like(image), nodata=0)
    with pytest.raises(UserError, match=r"a\.tif: of 50 windows of 32x32 pixels none has data"):
        dataset(tmp_path, val=None, test=None)[0]


def test_scaled_values_are_read_in_model_units(tmp_path):
    image = picture(0, 48, 48, 3, "uint16", 10000)
    with rasterio.open(geotiff(tmp_path / "a.tif", image + 1000, ("red", "green", "blue")), "r+") as file:
        file.scales, file.offsets = (1e-4,) * 3, (-0.1,) * 3
    with pytest.raises(UserError, match="value_range is not set"):
        dataset(tmp_path, val=None, test=None)
    data = dataset(tmp_path, size=48, value_range=(0, 1), val=None, test=None, shares={"clear": 1})
    np.testing.assert_allclose(data[0]["cloudy"].numpy(), image / 5000 - 1, atol=1e-3)
    with pytest.raises(UserError, match=r"a\.tif: values .* lie outside value_range \(5 to 6\)"):
        dataset(tmp_path, value_range=(5, 6), scale=1e-4, val=None, test=None)[0]


def test_bands_are_taken_by_name_by_colour_or_in_order(tmp_path):
    write_image(tmp_path / "a.png", picture(0))
    stored = dataset(tmp_path, val=None, test=None, size=48)[0]["clear"]
    turned = dataset(tmp_path, val=None, test=None, size=48, bands=("blue", "green", "red"))
    assert torch.equal(turned[0]["clear"], stored.flip(0))
    composite = dataset(tmp_path, val=None, test=None, size=48, bands=("swir2", "nir", "green"))
    assert torch.equal(composite[0]["clear"], stored) and composite.wavelengths == (2.19, 0.842, 0.56)
    own = dataset(tmp_path, val=None, test=None, bands=("a", "b", "c"), wavelengths=(0.5, 0.6, 1.2))
    assert own.wavelengths == (0.5, 0.6, 1.2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(bands=("red", "green", "ultraviolet")), r"'ultraviolet' has no known wavelength.*coastal, blue"),
        (dict(bands=("a", "b"), wavelengths=(1, 2)), r"and a, b are wanted: correct `bands`"),
        (dict(wavelengths=(0.5,)), "one for each of the bands red, green, blue"),
        (dict(wavelengths=(550, 660, 480)), "in micrometres"),
        (dict(size=64), r"images .*are smaller than size=64: .*upsample=True"),
        (dict(size=4), "at least 8 pixels"),
        (dict(thickness=(2, 1)), "lowest and the highest"),
        (dict(thickness=(0, 1)), "above 0"),
        (dict(other_sensors=1.5), "other_sensors=1.5: give a share"),
        (dict(shares={"fog": 1}), "known: thin, thick"),
        (dict(val=0.5, test=0.5), "leave none to train on"),
        (dict(split="none.json"), "no split none.json"),
        (dict(split="folders"), "no folder train"),
    ],
)
def test_wrong_arguments_are_refused_before_any_pixel_is_read(folder, arguments, message):
    with pytest.raises(UserError, match=message):
        dataset(folder, **arguments)


def test_named_bands_are_not_guessed(tmp_path):
    geotiff(tmp_path / "a.tif", picture(0, bands=4, dtype="uint16"), ("B02", "B03", "B04", "B08"))
    with pytest.raises(UserError, match=r"has bands 1 = B02, .* and red, nir, swir1, swir2 are wanted"):
        dataset(tmp_path, bands=("red", "nir", "swir1", "swir2"))
    geotiff(tmp_path / "a.tif", picture(0, bands=4, dtype="uint16"))
    with pytest.raises(UserError, match="say which they are with `bands`"):
        dataset(tmp_path)
    units = dict(value_range=(0, 10000), val=None, test=None)
    geotiff(tmp_path / "a.tif", image := picture(0, bands=4, dtype="uint16", white=10000))
    numbered = dataset(tmp_path, bands=dict(nir=4, red=1), shares={"clear": 1}, size=48, **units)
    np.testing.assert_allclose((numbered[0]["clear"].numpy() + 1) * 5000, image[[3, 0]], atol=0.01)
    with pytest.raises(UserError, match="has no band 5"):
        dataset(tmp_path, bands=dict(nir=5), **units)


def test_empty_folders_and_too_few_images_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"holds no image .*check the path"):
        dataset(tmp_path)
    write_image(tmp_path / "a.png", picture(0))
    with pytest.raises(UserError, match=r"a: 1 image\(s\) cannot be divided into 3 parts"):
        dataset(tmp_path)
    assert len(dataset(tmp_path, val=None, test=None)) == 1


def test_small_images_are_enlarged_if_asked(folder):
    data = dataset(folder, size=96, upsample=True, shares={"clear": 1}, other_sensors=0)
    assert data[0]["clear"].shape == (3, 96, 96)
    stored = dataset(folder, size=48)[0]["clear"]
    means = data[0]["clear"].reshape(3, 48, 2, 48, 2).mean((2, 4))
    assert (means - stored).abs().mean() < 0.05


def test_small_images_are_laid_side_by_side_if_asked(tmp_path):
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (5, 3, 16, 16), dtype=np.uint8)
    for number, image in enumerate(pictures):
        write_image(tmp_path / f"{number}.png", image)
    train = dataset(
        tmp_path, size=40, upsample=True, mosaic=1, shares=dict(clear=1), other_sensors=0, val=None, test=None
    )
    clear = (train.draw(0, 7)["clear"].numpy() + 1) * 127.5
    turned = [np.rot90(image, turns, (1, 2)) for image in pictures for turns in range(4)]
    places = [
        (row, column)
        for row in range(25)
        for column in range(25)
        if any(np.abs(clear[:, row : row + 16, column : column + 16] - image).max() < 1e-3 for image in turned)
    ]
    assert len(places) >= 1 and len({(row % 16, column % 16) for row, column in places}) == 1  # one grid
    top, left = places[0]
    assert set(places) == {(row, column) for row in range(top % 16, 25, 16) for column in range(left % 16, 25, 16)}, (
        "a place of the grid has no whole picture"
    )
    assert torch.equal(train.draw(0, 7)["clear"], train.draw(0, 7)["clear"])
    assert not torch.equal(train.draw(0, 7)["clear"], train.draw(0, 8)["clear"])


def test_images_that_look_cloudy_are_named(folder, caplog):
    white = picture(0)
    white[:, :40] = 240
    write_image(folder / "4.png", white, overwrite=True)
    with caplog.at_level(logging.WARNING, "declouds"):
        CloudedImages(folder, size=32, val=None, test=None).setup("fit")
    assert [record.getMessage().count(": 4: look at them") for record in caplog.records] == [1]
    caplog.clear()
    write_image(folder / "4.png", picture(4), overwrite=True)
    CloudedImages(folder, size=32).setup("fit")
    assert not caplog.records


def test_real_clear_images(shared):
    for name, size in (("ucmerced", 256), ("eurosat_rgb", 64)):
        folder = shared / "data" / name / "test"
        if not folder.is_dir():
            pytest.skip(f"no {folder}")
        data = CloudedImagesDataset(folder, size=size, upsample=True, val=None, test=None)
        sample = data.draw(3, 0)
        assert sample["cloudy"].shape == (3, size, size) and (sample["clear"].amax() > -0.5)


def test_thick_clouds_are_brighter_than_ground_dark_or_bright():
    for ground, least in ((0.02, 0.25), (0.35, 0.42), (0.8, 0.55)):
        low, high = dim_over(np.full((3, 16, 16), ground, np.float32))
        assert low == pytest.approx(least) and high > 1
