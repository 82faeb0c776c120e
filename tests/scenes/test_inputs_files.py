"""Rasters and mosaics: what is opened, read, and refused."""

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.enums import ColorInterp

from declouds.errors import UserError
from declouds.scenes.checks import check_files
from declouds.scenes.rasters.mask_file import open_mask
from declouds.scenes.rasters.scene_file import open_scene, read_window, source_files
from declouds.scenes.rasters.stack import Layer, stack
from declouds.scenes.sampling.tiles import Window

ALL = Window(0, 0, 6, 8)


def raster(path, count=3, dtype="uint16", colours=None, mask=None, **profile):
    profile = dict(dict(crs="EPSG:32633", transform=Affine(10, 0, 5e5, 0, -10, 5e6)), **profile)
    pixels = (np.arange(count * 48).reshape(count, 6, 8) + 1).astype(dtype)
    size = dict(height=6, width=8, count=count, dtype=dtype)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "w", "GTiff", **size, **profile) as file:
        file.write(pixels)
        if colours:
            file.colorinterp = [ColorInterp[colour] for colour in colours]
        if mask is not None:
            file.write_mask(mask)
    return path


def mosaic(path, *bands):
    """Write a VRT of bands (type, file and its band, extra XML)."""
    path.write_text(
        '<VRTDataset rasterXSize="8" rasterYSize="6">'
        + "".join(
            f'<VRTRasterBand dataType="{kind}" band="{number}">{extra}<SimpleSource>'
            f'<SourceFilename relativeToVRT="1">{file}</SourceFilename><SourceBand>{band}</SourceBand>'
            "</SimpleSource></VRTRasterBand>"
            for number, (kind, file, band, extra) in enumerate(bands, 1)
        )
        + "</VRTDataset>"
    )
    return path


def test_chosen_bands_in_any_order(tmp_path):
    with open_scene(raster(tmp_path / "a.tif")) as scene:
        values, masks = read_window(scene, Window(2, 3, 2, 4), [3, 1])
        np.testing.assert_array_equal(values, scene.read()[[2, 0], 2:4, 3:7])
        assert masks is None
        np.testing.assert_array_equal(read_window(scene, ALL)[0], scene.read())


def test_a_nodata_value_is_no_mask(tmp_path):
    with open_scene(raster(tmp_path / "a.tif", nodata=5)) as scene:
        assert read_window(scene, ALL, [1])[1] is None


def test_a_mask_of_the_file_is_read_once_for_all_bands(tmp_path):
    mask = np.full((6, 8), 255, np.uint8)
    mask[1, 2:5] = 0
    with open_scene(raster(tmp_path / "a.tif", mask=mask)) as scene:
        masks = read_window(scene, Window(1, 0, 5, 8), [2, 3])[1]
        np.testing.assert_array_equal(masks, mask[None, 1:])


def test_masks_of_the_bands_are_those_of_the_chosen_bands(tmp_path):
    for name in ("m1", "m2"):
        raster(tmp_path / f"{name}.tif", 1, "uint8", **(dict(nodata=3) if name == "m1" else dict(nodata=9)))

    def own(name):
        return (
            '<MaskBand><VRTRasterBand dataType="Byte"><SimpleSource>'
            f'<SourceFilename relativeToVRT="1">{name}.tif</SourceFilename><SourceBand>mask,1</SourceBand>'
            "</SimpleSource></VRTRasterBand></MaskBand>"
        )

    path = mosaic(tmp_path / "a.vrt", ("Byte", "m1.tif", 1, own("m1")), ("Byte", "m2.tif", 1, own("m2")))
    with open_scene(path) as scene:
        lost = [np.argwhere(read_window(scene, ALL, bands)[1] == 0).tolist() for bands in ([1], [2], [2, 1])]
    assert lost == [[[0, 0, 2]], [[0, 1, 0]], [[0, 1, 0], [1, 0, 2]]]


@pytest.mark.parametrize("nodata", [None, 200])
def test_transparency_is_a_mask_unless_it_is_an_image_band(tmp_path, nodata):
    path = raster(tmp_path / "a.tif", 4, "uint8", ("red", "green", "blue", "alpha"), nodata=nodata)
    with rasterio.open(path, "r+") as file:
        alpha = np.full((6, 8), 255, np.uint8)
        alpha[0, :2] = 0, 7
        file.write(alpha, 4)
    with open_scene(path) as scene:
        values, masks = read_window(scene, ALL, [3, 2, 1])
        assert len(values) == 3 and (masks != 0).all(0).sum() == 47 and not masks[..., 0, 0].any()
        values, masks = read_window(scene, ALL, [1, 2, 3, 4])
        assert masks is None and (values[3] == alpha).all()
        assert read_window(scene, ALL)[1] is None


def test_only_the_bands_asked_for_have_to_be_of_one_kind(tmp_path):
    raster(tmp_path / "a.tif")
    path = mosaic(
        tmp_path / "a.vrt",
        ("UInt16", "a.tif", 1, "<Description>red</Description>"),
        ("Byte", "a.tif", 2, "<Description>SCL</Description><NoDataValue>0</NoDataValue>"),
        ("UInt16", "a.tif", 3, "<Description>nir</Description>"),
    )
    with pytest.raises(UserError, match=r"a\.vrt: its bands have several types \(uint16, uint8, uint16\): choose some"):
        with open_scene(path):
            pass
    with pytest.raises(UserError, match=r"several types \(uint8, uint16\)"), open_scene(path, ["scl", "nir"]):
        pass
    with open_scene(path, ["nir", "1"]) as scene:
        assert scene.count == 3 and read_window(scene, ALL, [3, 1])[0].dtype == np.uint16
    with pytest.raises(UserError, match=r"a\.vrt: 'swir' is not one of its bands: it has 1 = red, 2 = SCL, 3 = nir"):
        with open_scene(path, ["swir"]):
            pass
    check_files(path, tmp_path / "o.tif", bands=["scl"], nodata=0)
    with pytest.raises(UserError, match="is uint8, which cannot hold nodata 300"):
        check_files(path, tmp_path / "o.tif", bands=["scl"], nodata=300)


def test_no_part_of_a_mosaic_of_mosaics_is_overwritten(tmp_path):
    raster(tmp_path / "a.tif")
    mosaic(tmp_path / "in.vrt", ("UInt16", "a.tif", 1, ""))
    path = mosaic(tmp_path / "out.vrt", ("UInt16", "in.vrt", 1, ""))
    with open_scene(path) as scene:
        assert {part.name for part in source_files(scene)} == {"out.vrt", "in.vrt", "a.tif"}
    with pytest.raises(UserError, match=r"a\.tif: is the input itself, which is never overwritten"):
        check_files(path, tmp_path / "a.tif", overwrite=True)


def test_blocks_that_a_part_of_a_mosaic_lacks(tmp_path):
    profile = dict(
        count=1, height=64, width=64, dtype="uint8", sparse_ok=True, tiled=True, blockxsize=16, blockysize=16
    )
    with rasterio.open(
        tmp_path / "a.tif", "w", "GTiff", crs="EPSG:32633", transform=Affine(1, 0, 0, 0, -1, 9), **profile
    ) as file:
        file.write(np.full((1, 32, 64), 9, np.uint8), window=rasterio.windows.Window(0, 0, 64, 32))
    path = mosaic(tmp_path / "a.vrt", ("Byte", "a.tif", 1, ""))
    with pytest.raises(UserError, match=r"a\.tif: lacks pixels from row 32, column 0"):
        check_files(path, tmp_path / "o.tif")
    check_files(path, tmp_path / "o.tif", nodata=0)
    check_files(mosaic(tmp_path / "b.vrt", ("Byte", "a.tif", 1, "<NoDataValue>0</NoDataValue>")), tmp_path / "o.tif")


@pytest.mark.parametrize("interleave", ["band", "pixel"])
def test_blocks_that_the_files_own_mask_declares_empty(tmp_path, interleave):
    """A sparse GeoTIFF or COG leaves out what its mask hides; nothing was stopped, and dark pixels stay data."""
    source = tmp_path / "i.tif"
    profile = dict(driver="GTiff", count=3, height=64, width=64, dtype="uint8", sparse_ok=True, interleave=interleave)
    pixels = np.zeros((3, 32, 64), np.uint8)
    pixels[:, :18] = 9
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK="YES"),
        rasterio.open(source, "w", tiled=True, blockxsize=16, blockysize=16, crs="EPSG:32618",
                      transform=Affine(1, 0, 0, 0, -1, 9), **profile) as file,
    ):  # fmt: skip
        file.write(pixels, window=rasterio.windows.Window(0, 0, 64, 32))
        mask = np.zeros((64, 64), np.uint8)
        mask[:20] = 255  # some of the zeros are data
        file.write_mask(mask)
    check_files(source, tmp_path / "o.tif")
    mask[40] = 255
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK="YES"), rasterio.open(source, "r+") as file:
        file.write_mask(mask)
    with pytest.raises(UserError, match="lacks pixels from row 32, column 0"):
        check_files(source, tmp_path / "o.tif")


@pytest.mark.parametrize("suffix", ["zip", "tar", "gz"])
def test_an_archive(tmp_path, suffix):
    path = tmp_path / f"S2A_X.SAFE.{suffix}"
    path.write_bytes(b"PK")
    with pytest.raises(UserError, match="is an archive: unpack it"), open_scene(path, ["B02"]):
        pass


def test_a_tiff_of_several_pages_is_refused_as_scene_and_as_mask(tmp_path):
    scene = raster(tmp_path / "scene.tif")
    for name, count in (("pages.tif", 3), ("mask.tif", 1)):
        for more in (False, True):
            raster(tmp_path / name, count=count, append_subdataset=more)
    with pytest.raises(UserError, match=r"pages.tif: holds 2 images \(pages\).*gdal_translate"):
        check_files(tmp_path / "pages.tif", tmp_path / "o.tif")
    with pytest.raises(UserError, match=r"pages.tif: holds 2 images"):
        stack([Layer(tmp_path / "pages.tif", "B1", 1)])
    with rasterio.open(scene) as file, pytest.raises(UserError, match=r"mask.tif: holds 2 images"):
        open_mask(tmp_path / "mask.tif", file).__enter__()
