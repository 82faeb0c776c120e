"""Every registered part keeps the contract of its kind: a new part is tested without a new test."""

import json
import sys
import types
from itertools import product

import numpy as np
import pytest

from declouds import registry, testing
from declouds.image_io import write_image
from declouds.models import OnePass
from declouds.registry import NOISE_SCHEDULES

_SMALL_UNET = dict(base=8, multipliers=(1, 2), blocks=1, attention_at=(2,), heads=2)

# Arguments that make a part small or give it what it cannot do without; every other part is built from its defaults.
ARGUMENTS = {
    "PatchDiscriminator": dict(base=8, halvings=2),
    "ConditionalUNet": _SMALL_UNET,
    "SigmoidWeight": _SMALL_UNET,
    "WeightAllocation": _SMALL_UNET,
    "GainOffsetUNet": _SMALL_UNET,
    "MPRNet": dict(features=8, level_step=4, full_step=4, full_blocks=1),
    "MemoryNet": dict(features=8, level_step=4, full_step=4, full_blocks=1, classes=3),
    "MSDA": dict(features=8, columns=4, layers=2, growth=4),
    "SpAGAN": dict(features=4),
    "AMGANCR": dict(features=8, recurrent_blocks=1, iterations=2),
    "CVAE": dict(samples=2, latent=8, size=32, width=32, depth=1, features=4),
    "DSen2CR": dict(features=8, blocks=1),
    "TemporalUNet": dict(width=8, blocks=(1, 1), heads=4),
    "OwnChange": dict(model=OnePass(dict(type="Identity"))),
    "NAFNet": dict(width=8, encoder_blocks=(1, 1), decoder_blocks=(1, 1)),
    "RadarNAFNet": dict(width=8, encoder_blocks=(1, 1), decoder_blocks=(1, 1)),
    "NAFDenoiser": dict(width=8, encoder_blocks=(1, 1), decoder_blocks=(1, 1), middle_blocks=1),
    "TimmUNet": dict(encoder="test_convnext", base=8),
    "Simulated": dict(size=24, train=3, val=2, test=2),
}
KINDS = {kind.name: kind for kind in registry.PART_REGISTRIES}


def every(kind):
    return pytest.mark.parametrize("name", KINDS[kind].names())


def config(name):
    return dict(type=name, **ARGUMENTS.get(name, {}))


def test_the_arguments_above_are_of_parts_that_exist():
    assert set(ARGUMENTS) <= {name for kind in registry.PART_REGISTRIES for name in kind.names()}


@every("denoiser")
def test_denoisers(name):
    testing.check_denoiser(config(name))


@every("reference")
def test_references(name, tmp_path):
    if name != "Precomputed":
        testing.check_reference(config(name))
        return
    for number, sample in enumerate(testing.NAMES):  # its pictures are of one size and number of bands
        pixels = np.random.default_rng(number).integers(0, 256, (3, 13, 18), dtype=np.uint8)
        write_image(tmp_path / f"{sample}.png", pixels)
    testing.check_reference(dict(type=name, folder=tmp_path), bands=(3,), sizes=((13, 18),))


@every("fusion")
def test_fusions(name):
    testing.check_fusion(config(name))


@every("discriminator")
def test_discriminators(name):
    testing.check_discriminator(config(name))


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1)])
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (kind, name)
        for kind in ("denoiser", "reference", "fusion", "discriminator")
        for name in KINDS[kind].names()
        if name != "Precomputed"  # its pictures have a size
    ],
)
def test_networks_take_a_single_pixel_row_or_column(kind, name, size):
    check = getattr(testing, f"check_{kind}")
    check(config(name), bands=(3,), sizes=(size,))


@every("cloud_detector")
def test_cloud_detectors(name, monkeypatch):
    package = types.ModuleType("package")  # stands for those that are extras
    package.predict_from_array = lambda image, **options: (image[:1] > 2.3).astype(np.uint8)
    package.CSmask = lambda image, *args, **options: types.SimpleNamespace(csm=(image[..., :1] > 0.6).astype(np.uint8))
    for module in ("omnicloudmask", "ukis_csmask", "ukis_csmask.mask"):
        monkeypatch.setitem(sys.modules, module, package)
    bands = {
        "OmniCloudMask": [("red", "green", "blue", "nir"), ("nir", "green", "red")],
        "CloudScore": ["B01 B02 B03 B04 B05 B06 B07 B08 B8A B09 B10 B11 B12".split()],
        "UkisCsmask": [("red", "green", "blue", "nir"), ("B02", "B03", "B04", "B8A", "B11", "B12")],
    }
    testing.check_cloud_detector(config(name), **(dict(band_names=bands[name]) if name in bands else {}))


@every("noise_schedule")
def test_noise_schedules(name):
    testing.check_noise_schedule(config(name))


@pytest.mark.parametrize("process", NOISE_SCHEDULES.names())
@every("sampler")
def test_samplers_on_every_process(name, process):
    settings = dict(type=process)
    if "Pyramid" in name and NOISE_SCHEDULES.build(settings).condition:
        settings["endpoint"] = "noise"  # Pyramid changes the size
    testing.check_sampler(config(name), settings)


@every("diffusion_loss")
def test_diffusion_losses(name):
    testing.check_diffusion_loss(config(name))


@every("loss")
def test_losses(name, vgg16_weights, monkeypatch):
    monkeypatch.setenv("DECLOUDS_VGG16_WEIGHTS", str(vgg16_weights))
    testing.check_loss(config(name))


@pytest.fixture
def data_on_disk(tmp_path):
    """Return a function that writes a small data set as `name` expects it, and returns the arguments for it."""

    def pairs(folder, cloudy="cloud", clear="label", names=("1", "2", "3")):
        for side in (cloudy, clear):
            (tmp_path / folder / side).mkdir(parents=True)
            for number, name in enumerate(names):
                pixels = np.random.default_rng([number, side == clear]).integers(0, 256, (3, 16, 24), dtype=np.uint8)
                write_image(tmp_path / folder / side / f"{name}.png", pixels)

    def write(name):
        if name in ("PairedFolder", "RICE"):
            pairs("train", names=("1", "2", "3"))
            pairs("test", names=("4", "5"))
            return dict(root=tmp_path, val=0.4, split="folders")
        if name == "CUHKCR":
            pairs("CUHK-CR1/train", names=("1", "2", "3"))
            pairs("CUHK-CR1/test", names=("4", "5"))
            return dict(root=tmp_path, cloud="thin", val=0.4)
        if name == "SEN12MSCR":
            for season, region in (("ROIs1970_fall", 1), ("ROIs1970_fall", 139), ("ROIs1970_fall", 65)):
                for number, (side, bands) in enumerate((("s2_cloudy", 13), ("s2", 13), ("s1", 2))):
                    folder = tmp_path / f"{season}_{side}" / f"{side}_{region}"
                    folder.mkdir(parents=True)
                    values = np.random.default_rng([number, region]).random((bands, 16, 24))
                    values = (values * -20).astype("float32") if side == "s1" else (values * 9000).astype("uint16")
                    write_image(folder / f"{season}_{side}_{region}_p1.tif", values)
            return dict(root=tmp_path, drop=dict(sar=0.5))
        if name == "Sen2MTC":
            for number, tile in enumerate(("T49SCC_R018", "T22MCT_R024", "T12TUR_R027")):
                for file in ("cloudless/{}_1.tif", *(f"cloud/{{}}_1_{date}.tif" for date in range(3))):
                    path = tmp_path / "Sen2_MTC" / tile / file.format(tile)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    values = np.random.default_rng([number, *file.encode()]).integers(200, 9000, (4, 16, 24))
                    write_image(path, values.astype("uint16"))
            return dict(root=tmp_path, drop=dict(date2=0.5))
        if name == "SEN12MSCRTS":
            covers = {}
            for place in ("ROIs1868_36", "ROIs1868_17", "ROIs1868_119"):
                season, region = place.split("_")
                for date, sensor in product(range(4), ("S1", "S2")):
                    folder = tmp_path / season / region / sensor / str(date)
                    folder.mkdir(parents=True)
                    values = np.random.default_rng([date, int(region)]).random((2 if sensor == "S1" else 13, 16, 24))
                    values = (values * -20).astype("float32") if sensor == "S1" else (values * 9000).astype("uint16")
                    write_image(folder / f"{sensor.lower()}_{place}_ImgNo_{date}_2018-01-06_patch_1.tif", values)
                covers[f"{place}_p1"] = [0.5, 0.4, 0.1, 0.3]
            (tmp_path / "covers.json").write_text(json.dumps(covers))
            return dict(root=tmp_path, drop=dict(sar=0.5))
        if name == "TCloud":
            pairs("train", clear="reference", names=("1", "2", "3"))
            pairs("test", clear="reference", names=("4", "5"))
            return dict(root=tmp_path, val=0.4)
        if name == "WHUS2CR":
            for number, scene in enumerate(("R003_T52SCF", "R078_T38UNC", "R008_T30QVM")):
                for side, (resolution, bands, times) in product(
                    ("cloudDNclips", "clearDNclips"), (("10m", 4, 1), ("20m", 6, 2), ("60m", 3, 6))
                ):
                    folder = tmp_path / "train" / side / resolution / scene
                    folder.mkdir(parents=True)
                    values = np.random.default_rng([number, bands]).integers(1, 9000, (bands, 12 // times, 24 // times))
                    write_image(folder / "1.tif", values.astype("uint16"))
            return dict(root=tmp_path)
        if name == "CloudedImages":
            pairs("clear", names=tuple("123456"))
            return dict(root=tmp_path / "clear/label", size=16)
        return {}

    return write


@every("datamodule")
def test_datamodules(name, data_on_disk):
    testing.check_datamodule(config(name) | data_on_disk(name))
