"""Masks that come with a scene: found where products have them, and used."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from clearing import clear_scene, remover
from test_inputs_safe import image, metadata
from test_joint import PixelModel

from declouds.errors import UserError
from declouds.samplers.ddim import DDIM
from declouds.scenes import clear
from declouds.scenes.api import remove_clouds
from declouds.scenes.options import SceneOptions
from declouds.scenes.rasters.product_mask import product_mask
from declouds.scenes.rasters.scene_file import open_scene
from declouds.scenes.rasters.stack import Layer, stack
from declouds.value_range import ValueRange

PLACE = Affine(30, 0, 499980, 0, -30, 5100000)
LANDSAT = "LC09_L2SP_193027_20240506_20240507_02_T1"
MODEL = dict(bands=1, in_bands=1, value_range=ValueRange(0, 255))


def raster(path, pixels, transform=PLACE, **profile):
    """Write a band."""
    path.parent.mkdir(parents=True, exist_ok=True)
    profile = dict(driver="GTiff", crs="EPSG:32633", transform=transform) | profile
    height, width = pixels.shape
    with rasterio.open(path, "w", count=1, dtype=pixels.dtype, height=height, width=width, **profile) as file:
        file.write(pixels, 1)
    return path


@pytest.fixture
def landsat(tmp_path):
    """The red band of a Landsat product, of 8 bits, with its QA_PIXEL: a cloud, its shadow, clear land."""
    qa = np.full((40, 40), 21824, np.uint16)
    qa[:10], qa[10:15] = 22280, 23888
    raster(tmp_path / "in" / f"{LANDSAT}_QA_PIXEL.TIF", qa, nodata=1)
    pixels = np.random.default_rng(0).integers(20, 230, (40, 40), np.uint8)
    return raster(tmp_path / "in" / f"{LANDSAT}_SR_B4.TIF", pixels)


def found(path, bands=None, kind=None):
    """Return kind and name of the mask that comes with a scene."""
    with open_scene(path, bands) as scene:
        mask = product_mask(path, scene, kind)
    return mask and (mask[0], mask[1].name)


def test_the_qa_pixel_beside_a_band_of_landsat_or_what_is_made_of_bands(landsat, tmp_path):
    assert found(landsat) == ("qa_pixel", f"{LANDSAT}_QA_PIXEL.TIF")
    (tmp_path / "red.vrt").write_text(stack([Layer(landsat, "red")]))
    assert found(tmp_path / "red.vrt") == ("qa_pixel", f"{LANDSAT}_QA_PIXEL.TIF")
    assert found(landsat, kind="fmask") is None
    shutil.copy(landsat, tmp_path / "in" / f"{LANDSAT}_Fmask4.tif")
    assert found(landsat, kind="fmask") == ("fmask", f"{LANDSAT}_Fmask4.tif")
    assert found(landsat) == ("qa_pixel", f"{LANDSAT}_QA_PIXEL.TIF")  # the one that it is delivered with
    alone = Path(shutil.copy(landsat, tmp_path))
    assert found(alone) is None
    other = landsat.rename(landsat.with_name("LC09_L2SP_193027_20240522_20240523_02_T1_SR_B4.TIF"))
    assert found(other) is None  # of another day


def test_masks_of_two_products_are_not_chosen_between(landsat, tmp_path):
    other = landsat.with_name(landsat.name.replace("193027", "193028"))
    shutil.copy(landsat, other)
    shutil.copy(landsat.with_name(f"{LANDSAT}_QA_PIXEL.TIF"), other.with_name(other.name.replace("SR_B4", "QA_PIXEL")))
    (tmp_path / "both.vrt").write_text(stack([Layer(landsat, "a"), Layer(other, "b")]))
    with pytest.raises(UserError, match=r"193027.* and .*193028.* could both be its mask: say which .*--mask-kind qa"):
        found(tmp_path / "both.vrt")


@pytest.mark.parametrize(
    ("scene", "mask"),
    [
        ("20240506_101010_12_24a1_3B_AnalyticMS_SR_clip.tif", "20240506_101010_12_24a1_3B_udm2_clip.tif"),
        ("20240506_s_ortho_analytic.tif", "20240506_s_ortho_udm2.tif"),
    ],
)
def test_the_mask_beside_a_scene_of_planet(tmp_path, scene, mask):
    pixels = np.full((4, 4), 9, np.uint8)
    assert found(raster(tmp_path / scene, pixels)) is None
    raster(tmp_path / mask, pixels)
    assert found(tmp_path / scene) == ("udm2", mask)


@pytest.fixture
def safe(tmp_path):
    """A Sentinel-2 product of level 2A with its classes, in 20 and 60 m."""
    granule = tmp_path / "S2B_MSIL2A_X.SAFE" / "GRANULE" / "L2A_T33UUU_A1_2"
    tile = "T33UUU_20240506T100559"
    image(granule / f"IMG_DATA/R10m/{tile}_B04_10m.jp2", 10, 4000)
    for metres in (20, 60):
        classes = np.full((1200 // metres,) * 2, 4, np.uint8)
        classes[: 240 // metres] = 9
        place = Affine(metres, 0, 499980, 0, -metres, 5100000)
        path = granule / f"IMG_DATA/R{metres}m/{tile}_SCL_{metres}m.jp2"
        raster(path, classes, place, driver="JP2OpenJPEG", QUALITY="100", REVERSIBLE="YES")
    folder = tmp_path / "S2B_MSIL2A_X.SAFE"
    (folder / "MTD_MSIL2A.xml").write_text(metadata("2A"))
    return folder


def test_the_classes_in_a_sentinel_2_product(safe, tmp_path):
    assert found(safe, ["B04"]) == ("scl", "T33UUU_20240506T100559_SCL_20m.jp2")
    band = next(safe.rglob("*_B04_10m.jp2"))
    assert found(band) == ("scl", "T33UUU_20240506T100559_SCL_20m.jp2")
    next(safe.rglob("*_SCL_20m.jp2")).unlink()
    assert found(safe, ["B04"]) == ("scl", "T33UUU_20240506T100559_SCL_60m.jp2")
    assert found(safe, ["B04"], "qa_pixel") is None and found(safe, ["B04"], "fmask") is None
    with open_scene(safe, ["B04"]) as scene:
        values = scene.read(1)
    model = remover(lambda c, n: -c, bands=1, in_bands=1, value_range=ValueRange(0, 1))
    clear.clear_scene(model, safe, tmp_path / "o.tif", SceneOptions(bands=["B04"], mask="scl"))
    with rasterio.open(tmp_path / "o.tif") as file:
        changed = file.read(1) != values
    assert changed[2:24].mean() > 0.9 and not changed[24:].any()


def item(path, **assets):
    """Write a STAC item."""
    pytest.importorskip("pystac")
    written = dict(
        type="Feature", stac_version="1.0.0", id="x", geometry=None, links=[],
        properties={"datetime": "2024-05-06T10:00:00Z"}, assets={key: {"href": href} for key, href in assets.items()},
    )  # fmt: skip
    path.write_text(json.dumps(written))
    return path


@pytest.mark.parametrize("key", ["qa_pixel", "QA_PIXEL.TIF"])
def test_the_mask_of_a_stac_item(landsat, key):
    folder = landsat.parent
    path = item(folder / "a.json", red=landsat.name, **{key: f"{LANDSAT}_QA_PIXEL.TIF"})
    assert found(path, ["red"]) == ("qa_pixel", f"{LANDSAT}_QA_PIXEL.TIF")
    assert found(item(folder / "b.json", red=landsat.name), ["red"]) is None
    away = item(folder / "c.json", red=landsat.name, scl="https://host/SCL.tif")
    assert found(away, ["red"]) == ("scl", "SCL.tif")
    with open_scene(away, ["red"]) as scene:
        assert str(product_mask(away, scene)[1]) == "https://host/SCL.tif"
    raster(folder / "SCL.tif", np.full((40, 40), 9, np.uint8))
    assert found(away, ["red"]) == ("scl", "SCL.tif")
    with open_scene(away, ["red"]) as scene:
        assert product_mask(away, scene)[1] == folder / "SCL.tif"  # that was downloaded


def test_the_mask_with_the_name_of_the_scene(tmp_path):
    scene = raster(tmp_path / "2024-06-25.tif", np.ones((40, 40), np.uint8))
    assert found(scene) is None
    raster(tmp_path / "2024-06-25_SCL.tif", np.full((40, 40), 9, np.uint8))
    assert found(scene) == found(scene, kind="scl") == ("scl", "2024-06-25_SCL.tif")


def cleared(tmp_path, landsat, name, **options):
    """Clear by negation; return the rows that were changed, and the summary."""
    report = clear_scene(lambda c, n: -c, landsat, tmp_path / name, **MODEL, **options)
    with rasterio.open(tmp_path / name) as file, rasterio.open(landsat) as scene:
        rows = (file.read(1) != scene.read(1)).mean(1)
    return rows > 0.5, json.loads((tmp_path / name).with_suffix(".json").read_text()), report


def test_scenes_are_cleared_by_their_own_mask_and_shadow_too(tmp_path, landsat):
    for mask in ("product", "qa_pixel", "auto"):
        rows, told, report = cleared(tmp_path, landsat, f"{mask}.tif", mask=mask)
        assert rows.tolist() == [True] * 15 + [False] * 25
        cloud = "bit 1 or 2 or 3 or 4"
        assert told["mask"] == dict(file=f"{LANDSAT}_QA_PIXEL.TIF", kind="qa_pixel", cloud=cloud)
        assert told["settings"]["shadow"] == "clear"
        assert report.mask.endswith(f"_QA_PIXEL.TIF (Landsat's QA_PIXEL (Collection 2), {cloud})")
    rows, told, _ = cleared(tmp_path, landsat, "keep.tif", mask="product", shadow="keep")
    assert rows.tolist() == [True] * 10 + [False] * 30
    assert told["mask"]["cloud"] == "bit 1 or 2 or 3" and told["settings"]["shadow"] == "keep"
    rows, told, _ = cleared(tmp_path, landsat, "all.tif", mask="none")
    assert rows.all() and told["mask"] is None and told["settings"]["mask"] is None


def test_a_mask_file_of_a_product(tmp_path, landsat):
    mask = landsat.with_name(f"{LANDSAT}_QA_PIXEL.TIF").rename(tmp_path / "elsewhere.tif")
    rows, told, _ = cleared(tmp_path, landsat, "o.tif", mask=mask, mask_kind="qa_pixel")
    assert rows.sum() == 15 and told["mask"]["file"] == "elsewhere.tif"
    rows, told, _ = cleared(tmp_path, landsat, "bits.tif", mask=mask, mask_bits=[4])
    assert rows.tolist() == [False] * 10 + [True] * 5 + [False] * 25
    assert told["mask"] == dict(file="elsewhere.tif", kind=None, cloud="bit 4")


def test_a_scene_without_a_mask_of_its_own(tmp_path, landsat):
    alone = landsat.rename(tmp_path / "scene.tif")
    for mask, message in (
        ("product", r"scene\.tif: a mask of its own \(Sentinel-2's .*, Planet's UDM2\) is neither in it nor beside it"),
        ("scl", r"Sentinel-2's .* is neither .*: give the file \(--mask FILE --mask-kind scl\), or find .*--mask auto"),
    ):
        with pytest.raises(UserError, match=message):
            cleared(tmp_path, alone, "o.tif", mask=mask)
    assert not (tmp_path / "o.tif").exists()
    with pytest.raises(UserError, match="the mask of an array is an array, or 'auto'"):
        remove_clouds(np.linspace(0, 1, 162, dtype=np.float32).reshape(2, 9, 9), PixelModel(DDIM(2)), mask="product")


def test_work_under_another_mask_is_not_gone_on_with(tmp_path, landsat):
    def interrupted(cloudy, noise, seen=[]):  # noqa: B006, it counts
        seen.append(1)
        if len(seen) > 7:  # in the second line of windows
            raise KeyboardInterrupt
        return -cloudy

    chosen = dict(MODEL, tile=8, overlap=0, mask="auto")
    with pytest.raises(KeyboardInterrupt):
        clear_scene(interrupted, landsat, tmp_path / "o.tif", **chosen)
    with pytest.raises(UserError, match="--restart"):
        clear_scene(lambda c, n: -c, landsat, tmp_path / "o.tif", **chosen | dict(shadow="keep"))
    mask = landsat.with_name(f"{LANDSAT}_QA_PIXEL.TIF")
    mask.rename(landsat.with_name(mask.name.lower()))  # the same pixels by another name
    with pytest.raises(UserError, match="--restart"):
        clear_scene(lambda c, n: -c, landsat, tmp_path / "o.tif", **chosen)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(mask="m", mask_values=[1], mask_bits=[2]), "--mask-values and --mask-bits say in several ways"),
        (dict(mask="m", mask_above=0.4, mask_kind="scl"), "--mask-above and --mask-kind say in several ways"),
        (dict(mask="product", mask_kind="scl"), "--mask-kind says what is cloud in a mask file: leave it out"),
        (dict(mask="scl", mask_values=[3]), "leave it out with --mask scl"),
        (dict(mask="m", mask_kind="slc"), "mask_kind = 'slc': choose one of scl, qa_pixel, udm2, fmask"),
        (dict(mask="m", mask_bits=[-1]), "bits are counted from 0"),
        (dict(mask="m", mask_above=float("nan")), "give a number in the mask's own values"),
        (dict(mask="auto", shadow="drop"), "shadow = 'drop': choose one of clear, keep"),
        (dict(mask="m", shadow="keep"), "leave the shadow's class out"),
        (dict(mask="none", mask_above=0.4), "give --mask too"),
        (dict(mask="m", detector="BrightWhite"), "for --mask auto: give that too"),
        (dict(detector="BrightWhite"), "for --mask auto: give that too"),
    ],
)
def test_choices_that_do_not_go_together(options, message):
    with pytest.raises(UserError, match=message):
        SceneOptions(**options).check()


def test_real_products_bring_their_masks(shared, tmp_path):
    pytest.importorskip("pystac")
    products = shared / "data" / "products"
    if not products.is_dir():
        pytest.skip("no real products")
    name = "LC08_L2SP_005009_20150710_20200908_02_T2"
    landsat = products / name
    expected = ("qa_pixel", f"{name}_QA_PIXEL.TIF")
    assert found(landsat / f"{name}_SR_B4.TIF") == expected
    assert found(landsat / f"{name}_SR_stac.json", ["SR_B4.TIF", "SR_B3.TIF"]) == expected
    sentinel = products / "S2A_29RKH_20200219_0_L2A"
    assert found(sentinel / f"{sentinel.name}.json", ["red", "green", "blue"]) == ("scl", "SCL.tif")
