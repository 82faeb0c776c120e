"""Sentinel-2 products, made small: the layout and the metadata of real ones."""

import numpy as np
import pytest
import rasterio
from affine import Affine

from declouds.errors import UserError
from declouds.scenes.checks import check_files
from declouds.scenes.rasters.bands import choose_bands
from declouds.scenes.rasters.scene import scene_for
from declouds.scenes.rasters.scene_file import open_scene, read_window, source_files
from declouds.scenes.rasters.sentinel2 import RESOLUTIONS, safe_layers
from declouds.scenes.sampling.tiles import Window
from declouds.value_range import ValueRange

SIDE = 1200  # metres
LEVELS = {"B02": 2000, "B03": 3000, "B04": 4000, "B08": 8000, "B8A": 9000}  # of the values of a band
L2A = {
    10: ("B02", "B03", "B04", "B08", "TCI"),
    20: ("B02", "B03", "B04", "B05", "B8A", "SCL"),
    60: ("B01", "B02", "B8A"),
}


def image(path, metres, level):
    """Write a band whose values say which band, level and place they are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    size = SIDE // metres
    pixels = (level + np.arange(size * size).reshape(1, size, size) % 97).astype(np.uint16)
    pixels[0, :2] = 0
    profile = dict(driver="JP2OpenJPEG", count=1, height=size, width=size, dtype="uint16", crs="EPSG:32633")
    place = Affine(metres, 0, 499980, 0, -metres, 5100000)
    with rasterio.open(path, "w", **profile, transform=place, QUALITY="100", REVERSIBLE="YES") as file:
        file.write(pixels)
    return pixels[0]


def metadata(level, offset=-1000, quantification="10000"):
    """Return the metadata of a product, as far as they tell units."""
    if level == "2A":
        value, values, entry = "BOA_QUANTIFICATION_VALUE", "BOA_ADD_OFFSET_VALUES_LIST", "BOA_ADD_OFFSET"
    else:
        value, values, entry = "QUANTIFICATION_VALUE", "Radiometric_Offset_List", "RADIO_ADD_OFFSET"
    offsets = "".join(f'<{entry} band_id="{band}">{offset - band}</{entry}>' for band in range(13))
    return (
        f'<?xml version="1.0"?><n1:Level-{level}_User_Product xmlns:n1="https://psd-15.sentinel2.eo.esa.int/PSD/">'
        f'<n1:General_Info><Product_Image_Characteristics><{value} unit="none">{quantification}</{value}>'
        "<AOT_QUANTIFICATION_VALUE>1000.0</AOT_QUANTIFICATION_VALUE>"
        + (f"<{values}>{offsets}</{values}>" if offset else "")
        + f"</Product_Image_Characteristics></n1:General_Info></n1:Level-{level}_User_Product>"
    )


@pytest.fixture(scope="module")
def products(tmp_path_factory):
    """Give a product of each level; their bands B02, B03, ... have values from 2000, 3000, ... on."""
    folder = tmp_path_factory.mktemp("s2 & <products>")
    l2a = folder / "S2B_MSIL2A_20240506T100559_N0510_R022_T33UUU_20240506T132000.SAFE"
    for metres, bands in L2A.items():
        for band in bands:
            name = f"T33UUU_20240506T100559_{band}_{metres}m.jp2"
            image(l2a / f"GRANULE/L2A_T33UUU_A1_2/IMG_DATA/R{metres}m/{name}", metres, LEVELS.get(band, 0))
    image(l2a / "GRANULE/L2A_T33UUU_A1_2/QI_DATA/MSK_CLDPRB_20m.jp2", 20, 0)
    l1c = folder / "S2B_MSIL1C_20240506T100559_N0510_R022_T33UUU_20240506T122000.SAFE"
    for band in ("B02", "B03", "B04", "B08", "B8A", "TCI"):
        name = f"T33UUU_20240506T100559_{band}.jp2"
        image(l1c / f"GRANULE/L1C_T33UUU_A1_2/IMG_DATA/{name}", RESOLUTIONS.get(band, 10), LEVELS.get(band, 0))
    (l2a / "MTD_MSIL2A.xml").write_text(metadata("2A"))
    (l1c / "MTD_MSIL1C.xml").write_text(metadata("1C"))
    return {"2A": l2a, "1C": l1c}


@pytest.fixture
def product(tmp_path):
    """Give a product of one band that a test may spoil."""
    folder = tmp_path / "X.SAFE"
    image(folder / "GRANULE/L1C_T33UUU_A1_2/IMG_DATA/T33UUU_20240506T100559_B02.jp2", 10, 2000)
    (folder / "MTD_MSIL1C.xml").write_text(metadata("1C"))
    return folder


@pytest.mark.parametrize("level", ["2A", "1C"])
def test_bands_of_a_product_are_one_dataset(products, level):
    with open_scene(products[level], ["B04", "b3", "B02"]) as scene:
        assert scene.descriptions == ("B04", "B03", "B02")
        assert (scene.width, scene.height, scene.dtypes[0], scene.crs.to_epsg()) == (120, 120, "uint16", 32633)
        assert scene.transform == Affine(10, 0, 499980, 0, -10, 5100000)
        assert scene.nodatavals == (0, 0, 0)
        assert scene.scales == (1e-4,) * 3
        assert scene.offsets == pytest.approx((-0.1003, -0.1002, -0.1001))  # by the band's number, from 0
        counted = np.arange(120 * 120).reshape(120, 120) % 97
        for index, band in enumerate(("B04", "B03", "B02"), 1):
            pixels = scene.read(index)
            np.testing.assert_array_equal(pixels[2:], LEVELS[band] + counted[2:])
            assert not pixels[:2].any()
        assert len(source_files(scene)) == 3
        values, masks = read_window(scene, Window(100, 60, 20, 60), [2], products[level])
        np.testing.assert_array_equal(values, 3000 + counted[None, 100:, 60:])
        assert masks is None  # nodata is a value


def test_the_bands_asked_for_are_those_that_the_model_gets(products):
    with open_scene(products["2A"], ["b4", "B03", "B02_10m"]) as scene:
        assert scene.descriptions == ("B04", "B03", "B02_10m")
        assert choose_bands(scene, ["b4", "B03", "B02_10m"], ("red", "green", "blue"), 3, "s") == [1, 2, 3]


def test_a_resolution_can_be_said_where_the_product_has_several(products):
    with open_scene(products["2A"], ["B04_20m", "B8A"]) as scene:
        assert scene.descriptions == ("B04_20m", "B8A") and scene.shape == (60, 60)
        assert {path.name for path in source_files(scene)} == {
            "T33UUU_20240506T100559_B04_20m.jp2", "T33UUU_20240506T100559_B8A_20m.jp2",
        }  # fmt: skip
    with open_scene(products["2A"], ["B8A_60m"]) as scene:
        assert scene.shape == (20, 20)


@pytest.mark.parametrize(
    ("level", "bands", "message"),
    [
        (
            "2A",
            ["B04", "B8A"],
            r"differ in resolution \(B04 has 10 m, B8A has 20 m\): ask for --bands B04_20m,B8A_20m$",
        ),
        ("2A", ["B08", "B8A"], r"B08 has 10 m, B8A has 20 m\): resample them to one first"),
        ("1C", ["B04", "B8A"], r"B04 has 10 m, B8A has 20 m\): resample them to one first"),
        ("2A", None, "choose bands of it, such as --bands B04,B03,B02; it has B02_10m, B03_10m"),
        ("2A", ["B09"], r"'B09' is not one of its bands: choose among B02_10m, .*, B8A_60m$"),
        ("2A", ["B02", "SCL"], "'SCL' is not one of its bands"),
        (
            "1C",
            ["B02_20m"],
            "'B02_20m' is not one of its bands: choose among B02_10m, B03_10m, B04_10m, B08_10m, B8A_20m$",
        ),
        ("1C", ["1", "2", "3"], "'1' is not one of its bands"),
        ("1C", ["B99"], "'B99' is not one of its bands"),
        ("1C", ["B02", "B02"], r"'B02' could be any of the bands \[1, 2\]"),
    ],
)
def test_bands_that_a_product_does_not_have_or_not_together(products, level, bands, message):
    with pytest.raises(UserError, match=message), open_scene(products[level], bands):
        pass


def test_a_product_before_baseline_0400_has_no_offset(product):
    (product / "MTD_MSIL1C.xml").write_text(metadata("1C", offset=0))
    with open_scene(product, ["B02"]) as scene:
        assert (scene.scales, scene.offsets) == ((1e-4,), (0,))


def test_a_product_in_the_units_of_a_model_of_reflectance(product):
    with scene_for(product, ValueRange(0, 1), 1, 1, asked=["B02"]) as scene:
        assert (scene.stored_range.low, scene.stored_range.high) == (1001, 11001)
    with (
        pytest.raises(UserError, match=r"X\.SAFE: is uint16, .* --scale 1 --offset -1001 would fit"),
        scene_for(product, ValueRange(0, 10000), 1, 1, asked=["B02"]),
    ):
        pass


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda p: (p / "MTD_MSIL1C.xml").unlink(), "lacks MTD_MSIL1C.xml or MTD_MSIL2A.xml"),
        (lambda p: (p / "MTD_MSIL1C.xml").write_text("<a>"), r"MTD_MSIL1C\.xml: cannot be read"),
        (lambda p: (p / "MTD_MSIL1C.xml").write_text("<a/>"), "do not say what the values of B02 mean"),
        (lambda p: (p / "MTD_MSIL1C.xml").write_text(metadata("1C", quantification="")), "do not say what"),
        (lambda p: (p / "MTD_MSIL1C.xml").write_text(metadata("1C", quantification="0")), "do not say what"),
        (
            lambda p: (p / "MTD_MSIL1C.xml").write_text(metadata("1C").replace('band_id="1"', 'band_id="x"')),
            "do not say what",
        ),
        (lambda p: next(p.rglob("*.jp2")).unlink(), "holds no image of a band"),
        (
            lambda p: next(p.rglob("*.jp2")).write_bytes(b"no"),
            r"_B02\.jp2: cannot be read as a raster, and B02 should be",
        ),
        (
            lambda p: image(p / "GRANULE/L1C_T33UUV_A1_2/IMG_DATA/T33UUV_20240506T100559_B02.jp2", 10, 0),
            r"holds several tiles \(T33UUU_.*jp2, T33UUV_.*jp2\)",
        ),
    ],
)
def test_a_product_that_is_incomplete_or_none(product, spoil, message):
    spoil(product)
    with pytest.raises(UserError, match=message) as caught, open_scene(product, ["B02"]):
        pass
    assert "\n" not in str(caught.value)


def test_what_is_called_safe_and_is_none(tmp_path):
    (tmp_path / "file.SAFE").touch()
    with pytest.raises(UserError, match=r"file\.SAFE: is not a folder"):
        safe_layers(tmp_path / "file.SAFE", ["B02"])
    with pytest.raises(UserError, match=r"none\.SAFE: no such folder"):
        safe_layers(tmp_path / "none.SAFE", ["B02"])


def test_the_metadata_file_names_its_folder(product):
    with pytest.raises(UserError, match=r"holds the metadata of a product: give its folder, .*X\.SAFE$"):
        with open_scene(product / "MTD_MSIL1C.xml"):
            pass


def test_a_damaged_image_is_named(product):
    path = next(product.rglob("*.jp2"))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with open_scene(product, ["B02"]) as scene:
        with pytest.raises(UserError, match=r"X\.SAFE: is damaged or cut short in rows 0 to 119, .*T33UUU.*B02\.jp2"):
            read_window(scene, Window(0, 0, 120, 120), [1], product)


def test_no_file_of_a_product_is_overwritten(product, tmp_path):
    link = tmp_path / "o.tif"
    link.symlink_to(next(product.rglob("*.jp2")))
    with pytest.raises(UserError, match="is the input itself, which is never overwritten"):
        check_files(product, link, overwrite=True, bands=["B02"])
    with pytest.raises(UserError, match="choose bands of it"):
        check_files(product, tmp_path / "new.tif")
    check_files(product, tmp_path / "new.tif", bands=["B02"])
    assert not (tmp_path / "new.tif").exists()
