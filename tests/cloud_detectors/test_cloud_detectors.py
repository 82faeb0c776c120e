import logging
import sys
import types

import numpy as np
import pytest
import rasterio
import torch

from declouds.cloud_detectors.bright_white import BrightWhite
from declouds.cloud_detectors.named_bands import find_bands
from declouds.cloud_detectors.omni_cloud_mask import OmniCloudMask
from declouds.cloud_detectors.ukis_csmask import UkisCsmask
from declouds.errors import UserError
from declouds.image_io import read_image
from declouds.models import OnePass
from declouds.registry import CLOUD_DETECTORS, MODELS
from declouds.value_range import ValueRange

RGB = ("red", "green", "blue")
BYTES = ValueRange(0, 255)


def pixels(*colours):
    """An image of one row, a pixel of each colour."""
    return np.array(colours, np.float32).T[:, None, :]


@pytest.mark.parametrize(
    ("names", "colours", "places"),
    [
        (("red", "green", "blue", "nir"), ("red", "green", "nir"), [0, 1, 3]),
        (("B02", "B03", "B04", "B08"), RGB, [2, 1, 0]),
        (("Blue", "GREEN", "Red"), RGB, [2, 1, 0]),
        (("B02", "B03", "B04", "B8A", "nir"), ("nir",), [4]),
        (("red", "green"), RGB, None),
        (("B3", "B4", "B5"), ("red",), None),  # red is B3 on Landsat 7 and B4 on Landsat 8
        ((), RGB, None),
    ],
)
def test_bands_are_found_by_name_and_never_guessed(names, colours, places):
    assert find_bands(names, colours) == places


def test_cloud_is_bright_and_white():
    image = pixels(
        (0.8, 0.8, 0.8),  # cloud
        (-0.2, 0.0, 0.25),  # bluish cloud
        (-0.5, -0.5, -0.5),  # too dark
        (0.6, 0.4, 0.2),  # sand
        (-0.3, 0.6, 0.0),  # meadow
    )
    assert BrightWhite(RGB)(image).tolist() == [[True, True, False, False, False]]
    assert BrightWhite(RGB, bright=-0.6)(image)[0, 2] and BrightWhite(RGB, warmth=0.5)(image)[0, 3]
    assert BrightWhite(RGB, spread=2)(image)[0, 4]


def test_it_looks_at_visible_bands_alone_wherever_they_are():
    cloud, dark = (0.8, 0.7, 0.9, -0.9), (-0.9, 0.7, 0.9, 0.8)
    assert BrightWhite(("B02", "B03", "B04", "B12"))(pixels(cloud, dark)).tolist() == [[True, False]]


def test_without_names_it_looks_at_all_bands_and_says_so(caplog):
    with caplog.at_level(logging.WARNING, "declouds"):
        detector = BrightWhite(("a", "b"))
    assert "finds no bands called red, green and blue (a, b)" in caplog.text and "sand" in caplog.text
    assert detector(pixels((0.5, 0.3), (0.5, -0.5), (0.3, 0.9))).tolist() == [[True, False, False]]
    assert BrightWhite(("pan",))(pixels((0.0,), (-0.5,))).tolist() == [[True, False]]


def test_the_figures_of_its_description(shared):
    """Of every third pair of RICE2; the description has those of all."""
    detector, folder = CLOUD_DETECTORS.build(dict(type="BrightWhite"), band_names=RGB), shared / "data" / "rice2"
    names = sorted(path.name for path in (folder / "cloud").iterdir())[::3]
    found = missed = wrong = of_clear = 0
    for name in names:
        cloudy, clear = (BYTES.to_model(read_image(folder / side / name)) for side in ("cloud", "label"))
        brighter, cloud = (cloudy - clear).mean(0), detector(cloudy)
        found += (cloud & (brighter > 0.25)).sum()
        missed += (~cloud & (brighter > 0.25)).sum()
        wrong += (cloud & (abs(brighter) < 0.1)).sum()
        of_clear += detector(clear).mean() / len(names)
    assert found / (found + missed) == pytest.approx(0.72, abs=0.1)
    assert found / (found + wrong) == pytest.approx(0.63, abs=0.1)
    assert of_clear < 0.05


def test_clouds_of_a_real_scene(shared):
    with rasterio.open(shared / "data" / "scene" / "landsat_bahamas.tif") as scene:
        values = scene.read()
    cloud, valid = BrightWhite(RGB)(BYTES.to_model(values)), (values != 0).all(0)
    assert cloud[(values == 255).all(0)].all()  # saturated in every band
    assert not cloud[values.max(0) < 76].any()
    assert cloud[valid].mean() == pytest.approx(0.110, abs=0.002)


@pytest.fixture
def package(monkeypatch):
    """A stand-in for the package, which notes its calls and finds a column of each class."""
    module = types.ModuleType("omnicloudmask")
    module.calls = []

    def predict_from_array(image, **options):
        module.calls.append((image, options))
        assert image.dtype == np.float32 and len(image) == 3 and min(image.shape[1:]) >= 32
        return np.tile(np.arange(image.shape[2], dtype=np.uint8) % 4, (1, image.shape[1], 1))

    module.predict_from_array = predict_from_array
    monkeypatch.setitem(sys.modules, "omnicloudmask", module)
    return module


NIR = ("blue", "green", "red", "nir")


def test_omnicloudmask_gets_red_green_and_nir_and_no_value_that_means_nodata(package):
    image = np.random.default_rng(0).uniform(-1, 1, (4, 40, 50)).astype(np.float32)
    image[:, 3:9] = -1
    assert OmniCloudMask(NIR)(image).shape == (40, 50)
    shown, options = package.calls[-1]
    np.testing.assert_array_equal(shown, image[[2, 1, 3]] + 2)
    assert shown.min() == 1
    assert (options["patch_size"], options["patch_overlap"]) == (40, 20)


def test_small_images_are_padded_for_it_and_the_padding_is_cut_off(package):
    image = np.random.default_rng(0).uniform(-1, 1, (4, 5, 9)).astype(np.float32)
    assert OmniCloudMask(NIR)(image).tolist() == [[False, True, True, True, False, True, True, True, False]] * 5
    assert package.calls[-1][0].shape == (3, 32, 32)


@pytest.mark.parametrize(
    ("options", "cloud"),
    [
        ({}, [False, True, True, True]),
        (dict(thin=False), [False, True, False, True]),
        (dict(shadow=False), [False, True, True, False]),
    ],
)
def test_which_of_its_classes_are_cloud(package, options, cloud):
    assert OmniCloudMask(NIR, **options)(np.zeros((4, 1, 4), np.float32)).tolist() == [cloud]


def test_its_weights_and_its_device_can_be_told(package):
    OmniCloudMask(NIR, weights="folder", device="cuda:1")
    told = package.calls[0][1]
    assert (told["destination_model_dir"], told["inference_device"]) == ("folder", "cuda:1")


def test_a_model_without_near_infrared_is_told_what_to_do():
    with pytest.raises(UserError, match=r"called red, green and nir \(red, green, blue\): use a model .* BrightWhite"):
        CLOUD_DETECTORS.build(dict(type="OmniCloudMask"), band_names=RGB)


def test_a_package_that_is_missing_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "omnicloudmask", None)
    with pytest.raises(UserError, match=r'pip install "declouds\[detect\]"'):
        OmniCloudMask(NIR)


def test_weights_that_cannot_be_had_are_told_before_a_scene_is_begun(package):
    def offline(image, **options):
        raise OSError("no route\nto host")

    package.predict_from_array = offline
    with pytest.raises(UserError, match=r"cannot run \(OSError: no route to host\).*give the folder.*\(weights=\)"):
        OmniCloudMask(NIR)


@pytest.fixture
def csmask(monkeypatch):
    """A stand-in for ukis-csmask, which notes its calls and finds a column of each class."""
    module = types.ModuleType("ukis_csmask.mask")
    module.calls = []

    def find(image, band_order, level, **options):
        module.calls.append((image, band_order, level))
        columns = np.tile(np.arange(image.shape[1], dtype=np.uint8) % 3, (image.shape[0], 1))
        return types.SimpleNamespace(csm=columns[..., None])

    module.CSmask = find
    monkeypatch.setitem(sys.modules, "ukis_csmask", types.ModuleType("ukis_csmask"))
    monkeypatch.setitem(sys.modules, "ukis_csmask.mask", module)
    return module


def test_ukis_csmask_gets_reflectances_in_its_order(csmask):
    image = np.random.default_rng(0).uniform(-1, 1, (4, 5, 6)).astype(np.float32)
    cloud = UkisCsmask(("red", "green", "blue", "nir"))(image)
    assert cloud.tolist() == [[False, True, True, False, True, True]] * 5
    shown, names, level = csmask.calls[-1]
    np.testing.assert_allclose(shown, np.moveaxis(image[[2, 1, 0, 3]] / 2 + 0.5, 0, -1), atol=1e-6)
    assert (shown.dtype, names, level) == (np.float32, ["blue", "green", "red", "nir"], "l2a")
    assert UkisCsmask(NIR, shadow=False)(image)[0].tolist() == [False, True, False, False, True, False]
    UkisCsmask(NIR, level="l1c", low=-0.1, high=0.3)(np.ones((4, 5, 6), np.float32))
    assert csmask.calls[-1][0].max() == pytest.approx(0.3) and csmask.calls[-1][2] == "l1c"


def test_ukis_csmask_takes_short_wave_infrared_where_it_has_both_bands(csmask):
    bands = ("B02", "B03", "B04", "B08", "B11", "B12")
    UkisCsmask(bands)(np.zeros((6, 4, 4), np.float32))
    assert csmask.calls[-1][1] == ["blue", "green", "red", "nir", "swir16", "swir22"]
    UkisCsmask(bands[:5])(np.zeros((5, 4, 4), np.float32))
    assert csmask.calls[-1][0].shape == (4, 4, 4)


def test_what_ukis_csmask_needs_is_named(monkeypatch, csmask):
    with pytest.raises(UserError, match=r"called blue, green, red and nir \(red, green, blue\): use a model"):
        UkisCsmask(RGB)
    with pytest.raises(UserError, match="level = '2A': choose one of l1c, l2a"):
        UkisCsmask(NIR, level="2A")
    monkeypatch.setitem(sys.modules, "ukis_csmask.mask", None)
    with pytest.raises(UserError, match=r'pip install "declouds\[csmask\]"'):
        UkisCsmask(NIR)


@pytest.mark.parametrize(
    ("name", "settings", "f1"), [("BrightWhite", {}, 0.542), ("UkisCsmask", dict(shadow=False), 0.859)]
)
def test_detectors_on_real_chips(shared, name, settings, f1):
    folder = shared / "data" / "products" / "oncloudn"
    if not folder.is_dir():
        pytest.skip("no real chips")
    if name == "UkisCsmask":
        pytest.importorskip("ukis_csmask.mask")
    detector = CLOUD_DETECTORS.build(dict(type=name, **settings), band_names=NIR)
    both = either = 0
    for mask in folder.glob("*_mask.tif"):
        with rasterio.open(mask) as classes, rasterio.open(mask.with_name(mask.name.replace("_mask", ""))) as chip:
            truth, cloud = classes.read(1) == 1, detector(ValueRange(0, 10000).to_model(chip.read()))
        both, either = both + 2 * (truth & cloud).sum(), either + truth.sum() + cloud.sum()
    assert both / either == pytest.approx(f1, abs=0.01)


class Darker(torch.nn.Module):
    """A reference that takes 0.1 off bright pixels and 0.02 off all others."""

    def forward(self, cloudy):
        return cloudy - torch.where(cloudy > 0.5, 0.1, 0.02)


def test_cloud_is_what_the_model_itself_would_change():
    model = OnePass(dict(type="Identity"))
    model.reference = Darker()
    image = np.full((3, 64, 96), -0.5, np.float32)
    image[:, 20:40, 30:70] = 0.8
    cloud = CLOUD_DETECTORS.build(dict(type="OwnChange"), band_names=RGB, model=model)(image)
    assert cloud.shape == (64, 96) and cloud.dtype == bool
    assert cloud[22:38, 32:68].all() and not cloud[:14].any() and not cloud[:, :24].any()
    least = CLOUD_DETECTORS.build(dict(type="OwnChange", least=0.01), band_names=RGB, model=model)(image)
    assert least.all()
    none = CLOUD_DETECTORS.build(dict(type="OwnChange", least=0.2), band_names=RGB, model=model)(image)
    assert not none.any()


def test_a_model_with_a_prior_is_asked_for_that():
    model = MODELS.build(
        dict(
            type="DiffusionEnhancement",
            denoiser=dict(type="NAFDenoiser", width=8, encoder_blocks=(1,), decoder_blocks=(1,), middle_blocks=1),
            reference=dict(type="Identity"),
            noise_schedule=dict(type="LinearSchedule"),
            sampler=dict(type="DDIM", steps=2),
            fusion=dict(type="FixedWeight", weight=0.5),
        )
    )
    model.reference = Darker()
    image = np.full((3, 32, 32), 0.8, np.float32)
    assert CLOUD_DETECTORS.build(dict(type="OwnChange", least=0.099), model=model)(image).all()
    assert not CLOUD_DETECTORS.build(dict(type="OwnChange", least=0.101), model=model)(image).any()
