import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp
from rasterio.transform import rowcol
from rasterio.warp import transform_bounds

from declouds.errors import UserError
from declouds.scenes.rasters.mask_file import open_mask
from declouds.scenes.sampling.mask_rule import MaskRule, rule_of
from declouds.scenes.sampling.tiles import Window

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

UTM = "EPSG:32618"


def grid(rows=0, cols=0, size=10):
    """The grid of the scene, moved by so many of its pixels, with pixels of this size."""
    return Affine(size, 0, 5e5 + 10 * cols, 0, -size, 5e6 - 10 * rows)


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a raster and returns its path."""

    def write(name, pixels, own_mask=None, **profile):
        pixels = np.asarray(pixels)
        pixels = pixels[None] if pixels.ndim == 2 else pixels
        profile = dict(crs=UTM, transform=grid()) | profile
        count, height, width = pixels.shape
        with (
            rasterio.Env(GDAL_TIFF_INTERNAL_MASK="YES"),
            rasterio.open(
                tmp_path / name, "w", driver="GTiff", count=count, height=height, width=width, dtype=pixels.dtype,
                **profile,
            ) as file,
        ):  # fmt: skip
            file.write(pixels)
            if own_mask is not None:
                file.write_mask(own_mask)
        return tmp_path / name

    return write


@pytest.fixture
def scene(write):
    """An open scene of 30 rows and 40 columns."""
    with rasterio.open(write("scene.tif", np.ones((3, 30, 40), np.uint16))) as file:
        yield file


@pytest.fixture
def bare_scene(write):
    """An open scene of 30 rows and 40 columns that is nowhere on earth."""
    with rasterio.open(write("bare.tif", np.ones((3, 30, 40), np.uint16), crs=None, transform=None)) as file:
        yield file


def read(path, scene, values=(), **rule):
    """Return the cloud of the whole scene, and the share that the mask does not cover."""
    with open_mask(path, scene, rule_of(**rule) if "kind" in rule else MaskRule(tuple(values), **rule)) as mask:
        return mask(Window(0, 0, scene.height, scene.width)), mask.uncovered


def checks(shape=(30, 40), value=1, dtype=np.uint8):
    return (np.random.default_rng(0).random(shape) < 0.4).astype(dtype) * dtype(value)


@pytest.mark.parametrize("value", [1, 255])
def test_on_the_scenes_own_grid_every_pixel_is_its_own(write, scene, value):
    pixels = checks(value=value)
    cloud, uncovered = read(write("mask.tif", pixels), scene)
    assert cloud.dtype == bool and uncovered == 0
    np.testing.assert_array_equal(cloud, pixels == value)


def test_windows_agree_with_the_whole(write, scene):
    path = write("mask.tif", checks((9, 11)), crs="EPSG:4326", transform=degrees(scene, 9, 11))
    whole, _ = read(path, scene)
    with open_mask(path, scene) as mask:
        for window in (Window(0, 0, 1, 1), Window(3, 7, 20, 30), Window(29, 0, 1, 40)):
            np.testing.assert_array_equal(mask(window), whole[window.slices])
    assert 0.2 < whole.mean() < 0.6


def test_a_coarser_mask_covers_the_pixels_under_each_of_its_own(write, scene):
    pixels = checks((15, 20))
    cloud, uncovered = read(write("mask.tif", pixels, transform=grid(size=20)), scene)
    np.testing.assert_array_equal(cloud, pixels.repeat(2, 0).repeat(2, 1).astype(bool))
    assert uncovered == 0


def test_a_mask_of_a_part_leaves_the_rest_clear_and_tells_how_much(write, scene):
    path = write("mask.tif", np.ones((10, 20), np.uint8), transform=grid(10, 5))
    cloud, uncovered = read(path, scene)
    expected = np.zeros((30, 40), bool)
    expected[10:20, 5:25] = True
    np.testing.assert_array_equal(cloud, expected)
    assert uncovered == pytest.approx(1 - 200 / 1200)


def test_the_share_that_is_not_covered_is_near_in_a_large_scene(write):
    with rasterio.open(write("large.tif", np.zeros((1, 700, 900), np.uint8))) as scene:
        _, uncovered = read(write("mask.tif", checks((700, 600))), scene)
    assert uncovered == pytest.approx(1 / 3, abs=0.06)


def degrees(scene, height, width):
    """A grid of longitude and latitude over the scene and a little more."""
    left, bottom, right, top = transform_bounds(scene.crs, "EPSG:4326", *scene.bounds)
    return Affine((right - left) * 1.1 / width, 0, left - (right - left) / 20, 0, (bottom - top) * 1.1 / height, top)


def test_another_projection_is_warped_pixel_by_pixel(write, scene):
    pixels, place = checks((60, 80)), degrees(scene, 60, 80)
    cloud, _ = read(write("mask.tif", pixels, crs="EPSG:4326", transform=place), scene)
    rows, cols = np.mgrid[:30, :40]
    lon, lat = rasterio.warp.transform(scene.crs, "EPSG:4326", *scene.xy(rows.ravel(), cols.ravel()))
    row, col = rowcol(place, lon, lat)
    expected = pixels[row.clip(0, 59), col.clip(0, 79)].reshape(30, 40) == 1
    assert (cloud == expected).mean() > 0.99


def test_a_turned_scene_takes_its_mask_from_a_straight_one(write):
    pixels, turned = checks((150, 150)), Affine(8.66, 5, 5e5 + 300, 5, -8.66, 5e6 - 600)
    with rasterio.open(write("scene.tif", np.ones((1, 30, 40), np.uint8), transform=turned)) as scene:
        cloud, uncovered = read(write("mask.tif", pixels), scene)
        rows, cols = np.mgrid[:30, :40]
        row, col = rowcol(grid(), *scene.xy(rows.ravel(), cols.ravel()))
    assert uncovered == 0
    assert (cloud == pixels[row, col].reshape(30, 40)).mean() > 0.99


@pytest.mark.parametrize("georeferenced", [False, True])
def test_where_the_scene_is_nowhere_the_mask_lies_pixel_by_pixel(write, bare_scene, georeferenced):
    pixels = checks()
    place = {} if georeferenced else dict(crs=None, transform=None)
    cloud, uncovered = read(write("mask.tif", pixels, **place), bare_scene)
    np.testing.assert_array_equal(cloud, pixels == 1)
    assert uncovered == 0


@pytest.mark.parametrize("crs", [None, UTM])
def test_a_mask_that_is_nowhere_lies_pixel_by_pixel_too(write, scene, crs):
    pixels = checks()
    np.testing.assert_array_equal(read(write("mask.tif", pixels, crs=crs, transform=None), scene)[0], pixels == 1)


def test_the_classes_that_are_cloud_can_be_named(write, scene):
    pixels = np.random.default_rng(0).integers(0, 12, (30, 40)).astype(np.uint8)
    cloud, _ = read(write("mask.tif", pixels), scene, [3, 8, 9, 10])
    np.testing.assert_array_equal(cloud, np.isin(pixels, [3, 8, 9, 10]))


def test_clear_and_nodata_may_be_the_same_value(write, scene):
    pixels = checks()
    cloud, uncovered = read(write("mask.tif", pixels, nodata=0), scene)
    np.testing.assert_array_equal(cloud, pixels == 1)
    assert uncovered == 0
    cloud, uncovered = read(write("inverse.tif", pixels, nodata=0), scene, [0])
    np.testing.assert_array_equal(cloud, pixels == 0)
    assert uncovered == 0


def test_nodata_of_the_mask_is_clear_and_counts_as_not_covered(write, scene):
    pixels = checks()
    pixels[:15] = 255
    cloud, uncovered = read(write("mask.tif", pixels, nodata=255), scene)
    assert not cloud[:15].any()
    np.testing.assert_array_equal(cloud[15:], pixels[15:] == 1)
    assert uncovered == 0.5


def test_nan_is_clear_and_counts_as_not_covered(write, scene):
    pixels = checks(dtype=np.float32)
    pixels[:15] = np.nan
    cloud, uncovered = read(write("mask.tif", pixels), scene)
    assert not cloud[:15].any() and uncovered == 0.5
    np.testing.assert_array_equal(cloud[15:], pixels[15:] == 1)


def test_the_masks_own_mask_and_transparency_count_as_not_covered(write, scene):
    known = np.full((30, 40), 255, np.uint8)
    known[:, :10] = 0
    path = write("mask.tif", np.ones((30, 40), np.uint8), own_mask=known)
    cloud, uncovered = read(path, scene)
    np.testing.assert_array_equal(cloud, known == 255)
    assert uncovered == 0.25
    path = write("alpha.tif", np.stack([np.ones_like(known), known]))
    with rasterio.open(path, "r+") as file:
        file.colorinterp = ColorInterp.gray, ColorInterp.alpha
    np.testing.assert_array_equal(read(path, scene)[0], known == 255)


def test_a_mask_without_any_cloud_is_a_mask(write, scene):
    cloud, uncovered = read(write("mask.tif", np.zeros((30, 40), np.uint8)), scene)
    assert not cloud.any() and uncovered == 0


def test_a_mask_whose_cloud_is_its_nodata_value_is_told_with_the_fix(write, scene, caplog):
    path = write("mask.tif", checks(value=255), nodata=255)
    with open_mask(path, scene) as mask:
        mask.warn("the scene")
    assert "no pixel is cloud: nothing is cleared; if its nodata value 255 means cloud, name it with --mask-values" in (
        caplog.text
    )
    caplog.clear()
    with open_mask(path, scene, MaskRule((255,))) as mask:
        mask.warn("the scene")
        np.testing.assert_array_equal(mask(Window(0, 0, scene.height, scene.width)), checks() == 1)
    assert caplog.text == ""
    with open_mask(write("clear.tif", np.zeros((30, 40), np.uint8)), scene) as mask:
        mask.warn("the scene")
    assert caplog.text.strip().endswith("clear.tif: no pixel is cloud: nothing is cleared")


def test_what_a_mask_misses_counts_where_the_scene_has_data(write, scene, caplog):
    pixels = checks()
    pixels[:15] = 255
    with open_mask(write("mask.tif", pixels, nodata=255), scene) as mask:
        for rows, share in ((slice(15, 30), None), (slice(12, 30), "10 %"), (slice(0, 30), "50 %")):
            valid = np.zeros((30, 40), bool)
            valid[rows] = True
            mask.warn("the scene", lambda window, valid=valid: valid[window.slices])
            assert (f"does not cover {share} of the scene" if share else "") in caplog.text
            assert bool(caplog.text) == bool(share)
            caplog.clear()


def refusal(path, scene, values=(), **rule):
    with pytest.raises(UserError) as raised:
        read(path, scene, values, **rule)
    assert str(raised.value).startswith(f"{path}: ") and "\n" not in str(raised.value)
    return str(raised.value)


def test_what_is_no_raster_is_refused(tmp_path, scene):
    assert "cannot be read as a mask" in refusal(tmp_path / "missing.tif", scene)
    (tmp_path / "text.tif").write_text("clouds")
    assert "give a raster of classes" in refusal(tmp_path / "text.tif", scene)


def test_an_image_instead_of_a_mask_is_refused(write, scene):
    message = refusal(write("mask.tif", np.ones((3, 30, 40), np.uint8)), scene)
    assert "has 3 bands, and a mask has one" in message and "scene itself?" in message
    assert "complex numbers" in refusal(write("mask.tif", np.ones((30, 40), np.complex64)), scene)


@pytest.mark.parametrize(
    ("pixels", "found"),
    [
        (np.arange(1200).reshape(30, 40) % 4, "0, 1, 2, 3, and only 0"),
        (np.arange(1200).reshape(30, 40) % 101, "0, 1, 2, 3, 4, 5, 6, 7, ..., and only 0"),
        (np.arange(1200).reshape(30, 40) / 1200, "a probability needs a threshold: give it with --mask-above"),
    ],
)
def test_several_classes_need_a_choice(write, scene, pixels, found):
    dtype = np.uint8 if pixels.dtype.kind == "i" else np.float32
    assert found in refusal(write("mask.tif", pixels.astype(dtype)), scene)


def test_classes_that_the_masks_type_cannot_hold_are_refused(write, scene):
    message = refusal(write("mask.tif", checks()), scene, [1, 256, -1])
    assert "is uint8, which cannot hold the cloud values 256, -1" in message


def test_the_mask_of_another_place_is_refused(write, scene):
    message = refusal(write("mask.tif", checks(), transform=grid(0, 40)), scene)
    assert f"does not overlap the scene {scene.name}" in message
    assert "the mask spans 500400 to 500800, 4999700 to 5000000 (EPSG:32618)" in message
    far = Affine(0.001, 0, 20, 0, -0.001, 30)
    assert "is its CRS wrong?" in refusal(write("far.tif", checks(), crs="EPSG:4326", transform=far), scene)


def test_a_mask_of_the_whole_world_overlaps(write, scene):
    world = Affine(1, 0, -180, 0, -1, 90)
    pixels = np.zeros((180, 360), np.uint8)
    pixels[:, :180] = 1  # the western half, where the scene is
    cloud, uncovered = read(write("mask.tif", pixels, crs="EPSG:4326", transform=world), scene)
    assert cloud.all() and uncovered == 0


def test_a_mask_of_another_size_that_is_nowhere_is_refused(write, scene, bare_scene):
    path = write("mask.tif", checks((30, 41)), crs=None, transform=None)
    for data, which in ((scene, "the mask"), (bare_scene, "the scene")):
        message = refusal(path, data)
        assert f"{which} is not georeferenced" in message and "41 x 30 pixels, the scene 40 x 30" in message


def test_a_mask_that_is_cut_short_is_named(write, scene):
    path = write("mask.tif", checks((400, 400)))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with rasterio.open(write("large.tif", np.ones((1, 400, 400), np.uint8))) as large:
        assert "is the file whole?" in refusal(path, large)


@pytest.mark.parametrize("code", [21824, 4, 9])
def test_one_code_everywhere_does_not_say_whether_it_is_cloud(write, scene, code):
    """21824 is what Landsat's QA_PIXEL has for clear land."""
    path = write("mask.tif", np.full((30, 40), code, np.uint16))
    assert f"holds the values {code}" in refusal(path, scene)
    assert ("--mask-bits" if code > 255 else "--mask-values") in refusal(path, scene)


def test_a_small_cloud_in_a_large_mask_is_not_overlooked(tmp_path):
    grid = dict(
        driver="GTiff", count=1, height=1400, width=1400, crs="EPSG:32618", transform=Affine(10, 0, 5e5, 0, -10, 5e6)
    )
    classes = np.full((1400, 1400), 1, np.uint8)
    classes[100:180, 300:380] = 4
    classes[:, :434] = np.where(classes[:, :434] == 4, 4, 0)
    for name in ("scene.tif", "mask.tif"):
        with rasterio.open(
            tmp_path / name, "w", dtype="uint8", nodata=0 if name == "mask.tif" else None, **grid
        ) as file:
            file.write(classes, 1)
    with rasterio.open(tmp_path / "scene.tif") as large:
        with pytest.raises(UserError, match="1, 4"), open_mask(tmp_path / "mask.tif", large):
            pass
        with open_mask(tmp_path / "mask.tif", large, MaskRule((4,))) as mask:
            assert mask.classes == [1, 4]
            assert mask.uncovered == pytest.approx((434 * 1400 - 80 * 80) / 1400**2, abs=1e-9)


POINTS = [GroundControlPoint(row, col, 10 + col / 9, 50 - row / 9) for row in (0, 30) for col in (0, 40)]


def test_a_mask_with_ground_control_points_is_not_laid_pixel_by_pixel(write, scene, bare_scene, caplog):
    path = write("mask.tif", checks(), crs="EPSG:4326", transform=None, gcps=POINTS)
    assert "the mask has ground control points" in refusal(path, scene) and "gdalwarp" in refusal(path, scene)
    with rasterio.open(
        write("points.tif", np.ones((30, 40), np.uint8), crs="EPSG:4326", transform=None, gcps=POINTS)
    ) as same:
        np.testing.assert_array_equal(read(path, same)[0], checks() == 1)
        moved = write("moved.tif", checks(), crs="EPSG:4326", transform=None, gcps=POINTS[:3])
        assert "the scene has ground control points" in refusal(moved, same)
        plain = write("plain.tif", checks(), crs=None, transform=None)
        np.testing.assert_array_equal(read(plain, same)[0], checks() == 1)
    assert not caplog.text
    np.testing.assert_array_equal(read(path, bare_scene)[0], checks() == 1)
    assert "pixel by pixel" in caplog.text


def test_a_grid_without_a_crs_is_only_good_if_it_is_the_scenes(write, scene):
    np.testing.assert_array_equal(read(write("mask.tif", checks(), crs=None), scene)[0], checks() == 1)
    path = write("moved.tif", checks(), crs=None, transform=grid(rows=3))
    assert "the mask has a grid but no CRS" in refusal(path, scene) and "gdal_edit" in refusal(path, scene)
    with rasterio.open(write("no_crs.tif", np.ones((30, 40), np.uint8), crs=None)) as without:
        assert "the scene has a grid but no CRS" in refusal(write("far.tif", checks(), transform=grid(9)), without)


def test_a_mask_of_palette_indexes_is_one_of_classes(write, scene):
    path = write("mask.tif", checks(), photometric="palette")
    with rasterio.open(path, "r+") as file:
        file.write_colormap(1, {0: (0, 0, 0), 1: (255, 255, 255)})
    np.testing.assert_array_equal(read(path, scene)[0], checks() == 1)


def test_the_advice_for_several_bands_does_not_name_the_clear_one(write, scene):
    message = refusal(write("udm2.tif", np.ones((8, 30, 40), np.uint8)), scene)
    assert "--mask-kind udm2" in message and "-b 1" not in message


def numbers(values, dtype, shape=(30, 40)):
    """Pixels of these values, in turn."""
    return np.resize(np.array(values, dtype), shape)


@pytest.mark.parametrize(
    ("kind", "dtype", "clear", "cloud", "shadow"),
    [
        ("scl", np.uint8, [0, 1, 2, 4, 5, 6, 7, 11], [8, 9, 10], [3]),
        # fill, land, water, snow; dilated cloud, cirrus, cloud, and cloud of Landsat 5; shadow
        ("qa_pixel", np.uint16, [1, 21824, 21952, 30048, 5440], [21762, 54596, 22280, 55052, 5896], [23888]),
        ("fmask", np.uint8, [0, 1, 3, 255], [4], [2]),
    ],
)
def test_the_masks_of_products_are_known(write, scene, kind, dtype, clear, cloud, shadow):
    pixels = numbers([*clear, *cloud, *shadow], dtype)
    path = write("mask.tif", pixels, nodata=clear[0])
    found, uncovered = read(path, scene, kind=kind)
    np.testing.assert_array_equal(found, np.isin(pixels, [*cloud, *shadow]))
    assert uncovered == 0  # where there is no data is no cloud, and no hole in the mask
    np.testing.assert_array_equal(read(path, scene, kind=kind, shadow=False)[0], np.isin(pixels, cloud))


@pytest.mark.parametrize("photometric", ["minisblack", "rgb"])  # of 8-bit RGB, GDAL takes band 4 for transparency
def test_the_bands_of_planets_mask(write, scene, photometric):
    classes = numbers([0, 1, 2, 3, 4, 5], np.uint8)  # of which each pixel has one
    bands = np.stack([classes == band for band in range(6)] + [np.full_like(classes, 90), np.zeros_like(classes)])
    path = write("udm2.tif", bands.astype(np.uint8), photometric=photometric)
    found, uncovered = read(path, scene, kind="udm2")
    np.testing.assert_array_equal(found, np.isin(classes, [2, 3, 4, 5]))
    assert uncovered == 0
    np.testing.assert_array_equal(read(path, scene, kind="udm2", shadow=False)[0], np.isin(classes, [3, 4, 5]))
    coarse = write("coarse.tif", bands[:, ::2, ::2].astype(np.uint8), transform=grid(size=20), photometric=photometric)
    assert read(coarse, scene, kind="udm2")[0].mean() == pytest.approx(2 / 3, abs=0.02)


def test_a_mask_that_is_not_of_the_product_is_refused(write, scene):
    message = refusal(write("a.tif", numbers(range(14), np.uint8)), scene, kind="scl")
    assert "holds the values 12, 13, which Sentinel-2's scene classification (SCL) does not have" in message
    assert "holds the values 2720, which Landsat's QA_PIXEL" in refusal(
        write("bqa.tif", numbers([1, 2720], np.uint16)), scene, kind="qa_pixel"
    )
    assert "holds the values 5," in refusal(write("b.tif", numbers([5], np.uint8)), scene, kind="qa_pixel")
    assert "holds the values 5" in refusal(write("c.tif", numbers([0, 2, 5], np.uint8)), scene, kind="fmask")
    message = refusal(write("d.tif", np.ones((4, 30, 40), np.uint8)), scene, kind="udm2")
    assert "has 4 bands, and Planet's UDM2 has 8" in message
    message = refusal(write("e.tif", np.full((8, 30, 40), 900, np.uint16)), scene, kind="udm2")
    assert "holds 900 in bands that are 0 or 1" in message and "scene itself?" in message


def test_bits_that_are_cloud_can_be_named(write, scene):
    for dtype in (np.uint8, np.int8, np.uint16, np.int16, np.int32, np.uint32, np.int64):
        pixels = numbers([0, 8, 16, 24, 3, 64, 75], dtype)
        found, _ = read(write("mask.tif", pixels, nodata=0), scene, bits=(3, 6))
        np.testing.assert_array_equal(found, pixels & 72 != 0)
    signed = numbers([0, -1, 1], np.int8)
    np.testing.assert_array_equal(read(write("signed.tif", signed), scene, bits=(7,))[0], signed < 0)


def test_bits_that_a_mask_does_not_have_are_refused(write, scene):
    message = refusal(write("a.tif", checks()), scene, bits=(3, 8, 15))
    assert "is uint8, with the bits 0 to 7, and no bit 8, 15" in message
    message = refusal(write("b.tif", checks(dtype=np.float32)), scene, bits=(3,))
    assert "is float32, and only integers have bits: use --mask-above" in message
    message = refusal(write("c.tif", numbers([2, 4, 5, 7, 8, 9, 10], np.uint8)), scene, bits=(3,))
    assert "look like classes and not like bits: name those of cloud with --mask-values" in message
    read(write("d.tif", numbers([0, 1, 2, 3, 4], np.uint8)), scene, bits=(1,))  # sums of flags
    read(write("e.tif", numbers([5, 6, 7, 64], np.uint8)), scene, bits=(1,))


@pytest.mark.parametrize(("dtype", "scale"), [(np.float32, 1), (np.uint8, 100), (np.float64, 100)])
def test_a_threshold_of_probabilities_in_their_own_values(write, scene, dtype, scale):
    pixels = (checks(dtype=np.float64) * 0.5 + np.linspace(0, 0.5, 1200).reshape(30, 40)) * scale
    pixels = pixels.astype(dtype)
    found, uncovered = read(write("mask.tif", pixels, nodata=0), scene, above=0.4 * scale)
    np.testing.assert_array_equal(found, pixels > 0.4 * scale)
    assert 0.2 < found.mean() < 0.9 and uncovered == 0


def test_a_threshold_in_other_values_than_the_masks(write, scene, caplog):
    message = refusal(write("percent.tif", numbers([0, 30, 90], np.uint8)), scene, above=0.4)
    assert "holds values up to 90, and --mask-above 0.4 is a threshold for 0 to 1" in message and "40 of 100" in message
    with open_mask(write("share.tif", numbers([0, 0.9], np.float32)), scene, MaskRule(above=40)) as mask:
        mask.warn("the scene")
    assert "no pixel is above 40: nothing is cleared; its values go up to 0.9" in caplog.text


def test_a_probability_without_data_is_not_covered(write, scene):
    pixels = numbers([10, 60, 255], np.uint8)
    found, uncovered = read(write("mask.tif", pixels, nodata=255), scene, above=40)
    np.testing.assert_array_equal(found, pixels == 60)
    assert uncovered == pytest.approx(1 / 3)


@pytest.mark.parametrize("product", ["LC08_L2SP_005009_20150710_20200908_02_T2", "S2A_29RKH_20200219_0_L2A"])
def test_the_masks_of_real_products(shared, product):
    folder = shared / "data" / "products" / product
    if not folder.is_dir():
        pytest.skip("no real products")
    kind = "scl" if product.startswith("S2") else "qa_pixel"
    name = "SCL.tif" if kind == "scl" else f"{product}_QA_PIXEL.TIF"
    with rasterio.open(folder / name) as scene:
        classes = scene.read(1)
        cloud = np.isin(classes, [8, 9, 10]) if kind == "scl" else classes & 0b1110 != 0
        shadow = classes == 3 if kind == "scl" else classes & 0b10000 != 0
        np.testing.assert_array_equal(read(folder / name, scene, kind=kind)[0], cloud | shadow)
        np.testing.assert_array_equal(read(folder / name, scene, kind=kind, shadow=False)[0], cloud)
        assert cloud.any()
