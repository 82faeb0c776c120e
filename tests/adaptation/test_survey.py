"""Clear images for an adaptation: bands, value range, windows, what is held out, and bad input."""

import logging

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from declouds.adaptation.survey import Choice, cloudier, places_of, survey
from declouds.datamodules.clouded_images import CloudedImages, CloudedImagesDataset
from declouds.errors import UserError
from declouds.image_io import write_image
from declouds.simulation.scene import clear_scene

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def picture(seed, height=48, width=48, bands=3, white=255, dtype="uint8"):
    return (clear_scene(np.random.default_rng(seed), height, width, bands) * white).astype(dtype)


def geotiff(path, image, left=0, names=(), crs="EPSG:32632"):
    place = dict(crs=crs, transform=from_origin(600000 + left, 5400000, 10, 10))
    profile = dict(driver="GTiff", count=len(image), height=image.shape[1], width=image.shape[2], dtype=image.dtype)
    with rasterio.open(path, "w", **profile, **place) as file:
        file.write(image)
        if names:
            file.descriptions = names
    return path


def pictures(folder, count=6, **arguments):
    folder.mkdir(exist_ok=True)
    for number in range(count):
        write_image(folder / f"{number}.png", picture(number, **arguments))
    return folder


def found(*paths, seed=0, **choice):
    return survey(Choice(tuple(paths), **choice), seed)


def module_of(result):
    module = CloudedImages(**{key: value for key, value in result.datamodule.items() if key != "type"})
    module.setup("fit")
    module.setup("test")
    return module


def test_of_many_pictures_a_share_is_held_out(tmp_path):
    result = found(pictures(tmp_path / "a", 10))
    assert result.band_names == ("red", "green", "blue") and result.images == 10
    assert result.value_range == "0 to 255 (8-bit images)" and result.held_out == "2 of 10 images"
    module = module_of(result)
    assert len(module.train_dataset) == 8 and len(module.test_dataset) == 2
    assert not set(module.train_dataset.names) & set(module.test_dataset.names)
    assert module.train_dataset[0]["clear"].shape == (3, 32, 32)
    assert len({tuple(found(tmp_path / "a", seed=seed).datamodule["split"]["test"]) for seed in range(4)}) > 1


def test_of_one_scene_a_strip_is_held_out(tmp_path):
    rows = np.repeat(np.arange(200, dtype="uint16")[:, None], 160, 1)
    path = geotiff(tmp_path / "scene.tif", np.stack([rows + 1000] * 4), names=("blue", "green", "red", "nir"))
    result = found(path, value_range=(900.0, 1300.0))
    assert result.held_out == "a strip of 20% of each image" and result.datamodule["size"] == 32
    assert result.wavelengths == (0.49, 0.56, 0.665, 0.842)
    module = module_of(result)

    def rows_of(dataset):
        values = [(dataset.draw(index % len(dataset), index)["clear"] + 1) * 200 - 100 for index in range(30)]
        return min(float(value.min()) for value in values), max(float(value.max()) for value in values)

    for dataset in (module.train_dataset, module.test_dataset):
        dataset.other_sensors = 0.0
    assert rows_of(module.train_dataset)[1] < 160 <= round(rows_of(module.test_dataset)[0])
    assert round(float((module.test_dataset[0]["clear"].min() + 1) * 200 - 100)) == 160
    assert module.split_record()["test"]["split"] == "strips"


def test_a_wide_image_is_cut_across(tmp_path):
    columns = np.repeat(np.arange(200, dtype="uint8")[None], 40, 0)
    write_image(tmp_path / "wide.png", np.stack([columns] * 3))
    data = CloudedImagesDataset(tmp_path, "test", size=32, strips=True, val=0.2, test=0.3)
    assert data.regions == [(0, 140, 40, 60)] and len(data) == 1
    assert CloudedImagesDataset(tmp_path, "val", size=32, strips=True, val=0.2, test=0.3).regions == [(0, 100, 40, 40)]
    assert CloudedImagesDataset(tmp_path, "train", size=32, strips=True, val=0.2, test=0.3).regions == [(0, 0, 40, 100)]
    assert round(float((data[0]["clear"].min() + 1) / 2 * 255)) == 140


@pytest.mark.parametrize("wrong", [dict(split="folders"), dict(val=None, test=None), dict(val=0.6, test=0.4)])
def test_strips_are_fractions_and_no_split(tmp_path, wrong):
    pictures(tmp_path, 1)
    with pytest.raises(UserError, match="strips=True"):
        CloudedImagesDataset(tmp_path, size=8, strips=True, **wrong)


def test_dates_of_one_place_are_held_out_together(tmp_path):
    names = []
    for place in range(6):
        for date in range(3):
            names.append(tmp_path / f"{place}_{date}.tif")
            geotiff(names[-1], picture(place), left=1000 * place + 100 * date)
    assert sorted(places_of(names)) == [[3 * place + date for date in range(3)] for place in range(6)]
    result = found(tmp_path)
    assert result.held_out == "3 of 18 images"
    assert len({name[0] for name in result.datamodule["split"]["test"]}) == 1


def test_few_places_are_cut_into_strips(tmp_path):
    for date in range(8):
        geotiff(tmp_path / f"{date}.tif", picture(date, 128, 40))
    result = found(tmp_path)
    assert result.datamodule["strips"] and result.datamodule["test"] == 0.25 and result.datamodule["split"] is None
    assert geotiff(tmp_path / "x.tif", picture(0), crs="EPSG:32633") and len(places_of(list(tmp_path.glob("*")))) == 2


def test_the_value_range_leaves_room_for_clouds(tmp_path):
    image = np.random.default_rng(0).uniform(200, 3000, (3, 300, 300)).astype("uint16")
    image[:, :5] = 60000  # a glint
    path = geotiff(tmp_path / "scene.tif", image, names=("red", "green", "blue"))
    assert found(path).datamodule["value_range"] == [0, pytest.approx(6000, rel=0.02)]
    assert found(path, scale=1e-4, offset=-0.02).datamodule["value_range"] == [0, pytest.approx(0.56, rel=0.02)]
    assert found(path, value_range=(0, 9000)).value_range == "0 to 9000 (given)"


def test_bands_without_names_are_named_by_wavelength(tmp_path):
    path = geotiff(tmp_path / "scene.tif", picture(0, 128, 128, bands=4, white=3000, dtype="uint16"))
    with pytest.raises(UserError, match="bands, not all of which the file names"):
        found(path)
    result = found(path, wavelengths=(0.49, 0.56, 0.665, 0.842))
    assert result.band_names == ("0.49um", "0.56um", "0.665um", "0.842um")
    chosen = found(path, bands={"nir": 4, "red": 1})
    assert chosen.wavelengths == (0.842, 0.665) and module_of(chosen).bands == 2


def test_cloudier_than_the_others():
    rng = np.random.default_rng(0)
    ground = {str(n): rng.uniform(0.05, 0.2, (4, 500)) for n in range(4)}
    half = ground["0"].copy()
    half[:, :300] = 0.7
    sand = np.repeat(np.array([[0.3], [0.45], [0.6], [0.6]]), 500, 1)
    wavelengths = (0.49, 0.56, 0.665, 0.842)
    assert cloudier({**ground, "cloud": half, "sand": sand}, wavelengths) == ["cloud"]
    assert cloudier({"cloud": half, "sand": sand}, wavelengths) == []  # nothing to compare with


def test_cloudy_images_are_named(tmp_path, caplog):
    pictures(tmp_path / "a", 8, white=80)
    veiled = 0.3 * picture(8, white=80) + 0.7 * 230
    write_image(tmp_path / "a" / "veiled.png", veiled.astype("uint8"))
    with caplog.at_level(logging.WARNING):
        found(tmp_path / "a")
    assert [r.getMessage().split(": leave")[0] for r in caplog.records] == [
        "1 of 9 images look cloudy or snowy: veiled"
    ]


def test_bad_images_are_one_clear_line(tmp_path):
    (tmp_path / "empty").mkdir()
    pictures(tmp_path / "small", 6, height=20, width=40)
    pictures(tmp_path / "one", 1, height=40, width=100)
    (tmp_path / "white").mkdir()
    for number in range(6):
        write_image(tmp_path / "white" / f"{number}.png", np.full((3, 40, 40), 250, "uint8"))
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    for number in range(6):
        image = picture(number, 40, 40, bands=3 + number % 2)
        geotiff(mixed / f"{number}.tif", image, names=("red", "green", "blue", "nir")[: len(image)])
    flat = geotiff(tmp_path / "flat.tif", np.full((3, 128, 128), 7, "uint16"), names=("red", "green", "blue"))
    unknown = geotiff(tmp_path / "unknown.tif", picture(0, 128, 128), names=("red", "green", "lidar"))
    for paths, choice, message in (
        ([tmp_path / "nowhere"], {}, "nowhere: no such file or folder"),
        ([tmp_path / "small", tmp_path / "empty"], {}, "empty: holds no image"),
        ([tmp_path / "small"], {}, "20x40 pixels are too few: give images of at least 32x32 pixels"),
        ([tmp_path / "one"], {}, "40x100 pixels are too few: give images of at least 32x128 pixels where"),
        ([tmp_path / "white"], {}, "all images look cloudy"),
        ([mixed], dict(bands=("red", "nir")), "red, nir are wanted"),
        ([flat], {}, "a single value"),
        ([unknown], {}, "band 'lidar' has no known wavelength"),
        ([unknown], dict(wavelengths=(0.6, 0.5)), "give one for each of the bands"),
    ):
        with pytest.raises(UserError, match=message) as error:
            found(*paths, **choice)
        assert "\n" not in str(error.value)
