"""Radar beside a scene: on any grid and in memory, where it is missing, and what is refused."""

import json
import shutil

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from rasterio.enums import Resampling
from rasterio.warp import reproject

from declouds import remove_clouds
from declouds.cli import main
from declouds.datamodules.sen12mscr import SEN12MSCR
from declouds.errors import UserError
from declouds.models.cloud_remover import CloudRemover
from declouds.registry import MODELS
from declouds.scenes.sampling.noise import noise_field
from declouds.scenes.sampling.passes import Pass, clear_name, noise_of
from declouds.weights.file import save_weights

PATCH = "ROIs1970_fall_{}/{}_139/ROIs1970_fall_{}_139_p839.tif"
GRID = Affine(10, 0, 500_000, 0, -10, 4_650_000)
CRS = "EPSG:32633"
HEIGHT, WIDTH = 96, 128
DB = dict(name="sar", kind="sar", bands=["VV", "VH"], value_range=[[-25, 0], [-32.5, 0]])
IMAGE = dict(name="image", kind="optical", bands=["red", "green", "blue"], value_range=[0, 10000])


class Shown(CloudRemover):
    """Returns the radar and its flag as if they were red, green and blue; 1 for blue where it has no flag."""

    def __init__(self, optional=True, steps=0, **record):
        sources = [IMAGE, {**DB, "optional": optional}]
        self.channels, self.joint_steps = 5 + optional, steps
        record = dict(bands=3, in_bands=self.channels, value_range=(0, 10000), inputs=sources) | record
        super().__init__(**record)

    def predict(self, cloudy, noise, *, name=None, variant=None, record=None):
        assert cloudy.shape[1] == self.channels
        return torch.cat([cloudy[:, 3:], torch.ones_like(cloudy[:, :3])], 1)[:, :3]

    def passes(self, *, variant=None, blend="joint", samples=1, quality=False):
        """Make several passes, each of which sees the radar, as joint sampling does."""
        first = [
            Pass(f"step {n}", f"state{n}", 3, self.predict, (noise_of(0, n),), lambda x, cloudy: x, ("cloudy",))
            for n in range(self.joint_steps)
        ]
        return [*first, Pass("last", clear_name(0), 3, self.predict, (noise_of(0),))]


def write(path, values, transform=GRID, crs=CRS, names=None, **profile):
    count, height, width = values.shape
    profile = dict(driver="GTiff", crs=crs, transform=transform, dtype=values.dtype) | profile
    with rasterio.open(path, "w", height=height, width=width, count=count, **profile) as file:
        file.write(values)
        if names:
            file.descriptions = names
    return path


def read(path):
    with rasterio.open(path) as file:
        return file.read()


def backscatter(height=HEIGHT, width=WIDTH):
    """Return VV and VH in dB that vary smoothly over the place."""
    rows, cols = np.mgrid[:height, :width] / max(height, width)
    return np.stack([-18 + 8 * rows + 4 * cols, -24 + 6 * cols - 3 * rows]).astype(np.float32)


def shown_as(radar, flag=1.0):
    """Return what `Shown` makes of radar, in the units of the scene."""
    scaled = [(radar[0] + 25) / 25, (radar[1] + 32.5) / 32.5]
    return 10000 * np.stack([*scaled, np.full(radar.shape[1:], (flag + 1) / 2)])


@pytest.fixture
def scene(tmp_path):
    values = np.random.default_rng(0).integers(500, 4000, (3, HEIGHT, WIDTH)).astype("uint16")
    return write(tmp_path / "scene.tif", values)


def clear(scene, model=None, **options):
    """Clear a scene, and return the result and the summary."""
    output = scene.with_name("clear.tif")
    remove_clouds(scene, model or Shown(), output=output, overwrite=True, tile=64, overlap=16, **options)
    return read(output), json.loads(output.with_suffix(".json").read_text())


@pytest.mark.parametrize("steps", [0, 2], ids=["one pass", "joint"])
def test_the_model_is_shown_the_radar_in_its_own_units(tmp_path, scene, steps):
    radar = write(tmp_path / "s1.tif", backscatter())
    result, summary = clear(scene, Shown(steps=steps), sar=radar)
    assert np.abs(result - shown_as(backscatter())).max() <= 1
    assert summary["radar"] == dict(file="s1.tif") and summary["pixels"]["with_radar"] == HEIGHT * WIDTH


@pytest.mark.parametrize(("pixel", "crs"), [(4, CRS), (25, CRS), (10, "EPSG:32632")])
def test_radar_of_another_resolution_and_projection(tmp_path, scene, pixel, crs):
    """Radar that varies smoothly is the same on every grid, up to half a pixel of slope."""
    wide = backscatter(HEIGHT + 80, WIDTH + 80)
    origin = GRID @ Affine.translation(-40, -40)
    other = origin @ Affine.scale(pixel / 10)
    height, width = (round(side * 10 / pixel) for side in wide.shape[1:])
    if crs != CRS:
        from rasterio.warp import calculate_default_transform

        bounds = rasterio.transform.array_bounds(*wide.shape[1:], origin)
        other, width, height = calculate_default_transform(CRS, crs, *wide.shape[:0:-1], *bounds, resolution=10)
    moved = np.full((2, height, width), np.nan, np.float32)
    where = dict(src_transform=origin, src_crs=CRS, dst_transform=other, dst_crs=crs, dst_nodata=np.nan)
    reproject(wide, moved, **where, resampling=Resampling.bilinear)
    result, summary = clear(scene, sar=write(tmp_path / "s1.tif", moved, other, crs, nodata=np.nan))
    expected = shown_as(wide[:, 40 : 40 + HEIGHT, 40 : 40 + WIDTH])
    assert np.abs(result - expected).max() < 60  # of 10000; a pixel is 25 to 50
    assert summary["pixels"]["with_radar"] == HEIGHT * WIDTH


def test_bands_are_found_by_name_and_their_scale_counts(tmp_path, scene):
    stored = np.rint(backscatter()[::-1] * 100).astype("int16")
    radar = write(tmp_path / "s1.tif", stored, names=("VH", "VV"))
    with rasterio.open(radar, "r+") as file:
        file.scales = (0.01, 0.01)
    result, _ = clear(scene, sar=radar)
    assert np.abs(result - shown_as(backscatter())).max() <= 3


@pytest.mark.parametrize("hole", [np.nan, -9999.0])
def test_pixels_without_radar_are_flagged(tmp_path, scene, hole):
    values = backscatter()
    values[:, :40, :70] = hole
    radar = write(tmp_path / "s1.tif", values, nodata=None if np.isnan(hole) else hole)
    result, summary = clear(scene, sar=radar)
    assert summary["pixels"]["with_radar"] == HEIGHT * WIDTH - 40 * 70
    assert (result[2, :40, :70] == 0).all() and (result[2, 42:] == 10000).all()
    assert (result[:2, :40, :70] == 5000).all()  # the middle of the range


def test_a_model_that_needs_radar_leaves_pixels_without_it(tmp_path, scene):
    half = backscatter()[:, :, : WIDTH // 2]
    result, summary = clear(scene, Shown(optional=False), sar=write(tmp_path / "s1.tif", half))
    before = read(scene)
    assert np.array_equal(result[:, :, WIDTH // 2 :], before[:, :, WIDTH // 2 :])
    assert np.abs(result - shown_as(backscatter()))[:2, :, : WIDTH // 2].max() <= 1
    assert summary["pixels"]["cleared"] == summary["pixels"]["with_radar"] == HEIGHT * WIDTH // 2


def test_stored_integers_with_scale_and_offset_are_decibels(tmp_path, scene):
    radar = write(tmp_path / "s1.tif", np.round((backscatter() + 50) / 0.001).astype("uint16"))
    with rasterio.open(radar, "r+") as file:
        file.scales, file.offsets = (0.001, 0.001), (-50, -50)
    result, _ = clear(scene, sar=radar)
    assert np.abs(result - shown_as(backscatter()))[:2].max() <= 2


def test_bands_are_found_by_words_in_their_names(tmp_path, scene):
    names = ("Sigma0_VH_db", "Sigma0_VV_db")
    result, _ = clear(scene, sar=write(tmp_path / "s1.tif", backscatter()[::-1], names=names))
    assert np.abs(result - shown_as(backscatter()))[:2].max() <= 1


def test_zeros_as_at_borders_are_warned_of(tmp_path, scene, caplog):
    values = backscatter()
    values[:, :40] = 0
    clear(scene, sar=write(tmp_path / "s1.tif", values))
    assert "is 0 in all bands in places" in caplog.text


def test_radar_that_is_missing_is_flagged_and_said(scene):
    result, summary = clear(scene)
    assert (result[2] == 0).all() and summary["radar"] == dict(file=None)
    assert summary["pixels"]["with_radar"] == 0


def test_dates_fill_first_and_the_model_sees_radar_for_the_rest(tmp_path):
    ground = np.full((3, HEIGHT, WIDTH), 1200, "uint16") + np.arange(WIDTH, dtype="uint16")
    cloudy, other = ground.copy(), ground.copy()
    cloudy[:, 20:60, 30:90] = 8000
    other[:, 20:40, 30:90] = 8000
    scene = write(tmp_path / "scene_2020-06-15.tif", cloudy)
    date = write(tmp_path / "other_2020-06-01.tif", other)
    radar = write(tmp_path / "s1.tif", backscatter())
    options = dict(dates=[str(date)], mask="auto", colour="keep")
    result, summary = clear(scene, Shown(optional=False), sar=radar, **options)
    assert np.array_equal(result[:, 40:60, 30:90], ground[:, 40:60, 30:90])
    assert np.abs(result - shown_as(backscatter()))[:2, 20:40, 30:90].max() <= 1
    assert summary["pixels"]["filled"] == 20 * 60


def linear(path):
    write(path, 10 ** (backscatter() / 10))


def elsewhere(path):
    write(path, backscatter(), GRID @ Affine.translation(5000, 0))


def empty(path):
    write(path, np.full((2, HEIGHT, WIDTH), np.nan, np.float32))


def one_band(path):
    write(path, backscatter()[:1])


def other_names(path):
    write(path, backscatter(), names=("VV", "HH"))


def of_other_units(path):
    write(path, backscatter() - 60)


def without_crs(path):
    write(path, backscatter(), GRID @ Affine.scale(2), crs=None)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (linear, "linear, and the model was trained on radar in dB .*convert calibrated backscatter to 10"),
        (elsewhere, "does not overlap the scene .*is it the radar of another scene"),
        (empty, "has no data where the image lies: give radar of the same place"),
        (one_band, r"has 1 bands \(1\), and the model takes radar of 2, VV, VH: give these alone"),
        (other_names, r"has 2 bands \(VV, HH\), and the model takes radar of 2, VV, VH"),
        (of_other_units, "99 % of VV .* lie outside what the model was trained on"),
        (without_crs, "the radar has a grid but no CRS: assign its CRS"),
        (lambda path: None, "no such file|cannot be read"),
    ],
    ids="linear elsewhere empty one_band other_names units crs nothing".split(),
)
def test_other_radar_is_refused_before_any_work(tmp_path, scene, make, message):
    make(tmp_path / "s1.tif")
    with pytest.raises(UserError, match=message) as caught:
        clear(scene, sar=tmp_path / "s1.tif")
    assert "\n" not in str(caught.value)
    assert {path.name for path in tmp_path.iterdir()} <= {"scene.tif", "s1.tif"}


class NoRadar(CloudRemover):
    def __init__(self):
        super().__init__(bands=3, value_range=(0, 10000))

    def predict(self, cloudy, noise, *, name=None, variant=None, record=None):
        return cloudy


def test_radar_where_none_is_taken_and_none_where_it_is_needed(tmp_path, scene):
    radar = write(tmp_path / "s1.tif", backscatter())
    with pytest.raises(UserError, match="takes no radar: leave --sar out, or give one that was trained with it"):
        clear(scene, NoRadar(), sar=radar)
    with pytest.raises(UserError, match=r"the model needs radar \(VV, VH\): give it with --sar FILE"):
        clear(scene, Shown(optional=False))
    several = [IMAGE, DB, {**DB, "name": "sar2"}]
    with pytest.raises(UserError, match=r"several radar images \(sar, sar2\)"):
        clear(scene, Shown(inputs=several, in_bands=7), sar=radar)
    with pytest.raises(UserError, match="sar = a ndarray: give"):
        clear(scene, sar=backscatter())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s1.tif", "scene.tif"]


def test_swapped_polarisations_are_told(tmp_path, scene, caplog):
    clear(scene, sar=write(tmp_path / "s1.tif", backscatter()[::-1]))
    assert "VH is brighter than VV" in caplog.text


def test_sar_is_for_one_scene(tmp_path, scene, capsys):
    shutil.copy(scene, tmp_path / "another.tif")
    with pytest.raises(SystemExit):
        main(["predict", str(tmp_path), "-o", str(tmp_path / "out"), "--sar", str(scene)])
    assert "--sar is for one scene" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["OnePass", "DiffusionEnhancement"])
def test_a_real_scene_is_shown_as_in_training(tmp_path, shared, capsys, kind):
    """With radar and without, a window is what the model makes of the sample that the data set gives."""
    root = shared / "data" / "sen12mscr"
    data = SEN12MSCR(root, drop=dict(sar=0))
    data.setup("test")
    (sample,) = (one for one in data.test_dataset if one["name"] == "ROIs1970_fall_139_p839")
    net = dict(width=4, encoder_blocks=(1,), decoder_blocks=(1,))
    config = dict(type=kind, bands=13, in_bands=16, value_range=(0, 10000), reference=dict(type="RadarNAFNet", **net))
    config |= dict(band_names=data.band_names, inputs=[source.config() for source in data.inputs])
    if kind != "OnePass":
        config |= dict(denoiser=dict(type="NAFDenoiser", **net), fusion=dict(type="FixedWeight"))
        config |= dict(noise_schedule=dict(type="LinearSchedule"), sampler=dict(type="DDIM", steps=2))
    torch.manual_seed(0)
    model = MODELS.build(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.05 * torch.randn_like(weight)  # blocks begin as the identity
    save_weights(tmp_path / "model.safetensors", config, model.state_dict(), {})
    noise = torch.from_numpy(noise_field(0, 13, 0, 0, 256, 256))[None]
    missing = sample["cloudy"].clone()
    missing[13:15], missing[15] = 0, -1
    for cloudy, radar in ((sample["cloudy"], ["--sar", str(root / PATCH.format("s1", "s1", "s1"))]), (missing, [])):
        scene = root / PATCH.format("s2_cloudy", "s2_cloudy", "s2_cloudy")
        files = [str(scene), "-o", str(tmp_path / "clear.tif"), "--checkpoint", str(tmp_path / "model.safetensors")]
        main(["predict", *files, "--overwrite", "--device", "cpu", *radar])
        with torch.no_grad():
            expected = model.value_range.from_model(model.predict(cloudy[None], noise)[0].numpy(), "uint16")
        difference = np.abs(read(tmp_path / "clear.tif").astype(float) - expected)
        assert difference.max() <= 2  # of 10000
        said = "p839.tif (VV, VH)\n" if radar else "radar: missing, and the model clears without it: give VV, VH"
        assert said in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["array", "masked", "tensor", "DataArray"])
def test_images_in_memory_give_what_files_give(tmp_path, scene, kind):
    values, image = backscatter(), read(scene)
    values[:, :40, :70] = np.nan
    expected, _ = clear(scene, sar=write(tmp_path / "s1.tif", values))
    if kind == "array":
        given, radar = image, values
    elif kind == "masked":
        given, radar = image, np.ma.masked_invalid(values)
    elif kind == "tensor":
        given, radar = (torch.from_numpy(array) for array in (image.astype("int32"), values))
    else:
        xarray = pytest.importorskip("xarray")
        axes = dict(y=np.arange(HEIGHT) * -10.0, x=np.arange(WIDTH) * 10.0)
        given = xarray.DataArray(image, axes, ("band", "y", "x"))
        radar = xarray.DataArray(values[::-1], axes | dict(band=["VH", "VV"]), ("band", "y", "x"))
    result = remove_clouds(given, Shown(), sar=radar, tile=64, overlap=16)
    assert type(result) is type(given)
    assert np.array_equal(np.asarray(result), expected)


@pytest.mark.parametrize(
    ("radar", "message"),
    [
        (torch.from_numpy(backscatter()), "sar: is a tensor, and the image a NumPy array"),
        (backscatter()[:, 1:], r"sar: has shape \(2, 95, 128\), and the image \(3, 96, 128\)"),
        (backscatter()[0], "give .bands, height, width. on the image's grid"),
        (backscatter()[:1], r"sar: has 1 bands \(1\), and the model takes radar of 2, VV, VH"),
        (10 ** (backscatter() / 10), "sar: its values .* are linear"),
        (backscatter() > -10, "sar: radar holds integers or floating-point numbers; got bool"),
        ("s1.tif", "sar: is a str, and the image a NumPy array"),
        (None, "the model needs radar"),
    ],
    ids="kind size axes bands units type path none".split(),
)
def test_other_radar_in_memory_is_refused(scene, radar, message):
    with pytest.raises(UserError, match=message):
        remove_clouds(read(scene), Shown(optional=False), sar=radar)
    with pytest.raises(UserError, match="sar: the model takes no radar"):
        remove_clouds(read(scene), NoRadar(), sar=backscatter())
