from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine

import declouds
from declouds.errors import UserError
from declouds.hardware import pick_device
from declouds.models.cloud_remover import CloudRemover
from declouds.scenes.api import remove_clouds
from declouds.value_range import ValueRange


class Model(CloudRemover):
    """Looks around (a blur) and uses the noise, so that windows matter."""

    draws_noise = True

    def __init__(self):
        super().__init__(bands=2, value_range=(0, 10000), band_names=("red", "near infrared"))
        self.gain = torch.nn.Parameter(torch.tensor(0.9))

    def predict(self, cloudy, noise, *, name=None, variant=None, record=None):
        assert not self.training and not torch.is_grad_enabled()
        return self.gain * torch.nn.functional.avg_pool2d(cloudy, 3, 1, 1) + 0.05 * noise


@pytest.fixture
def pixels():
    pixels = np.random.default_rng(0).integers(1, 10000, (2, 150, 130)).astype(np.uint16)
    pixels[:, :30, :40] = 0
    return pixels


@pytest.fixture
def scene(tmp_path, pixels):
    path = tmp_path / "scene.tif"
    grid = dict(crs="EPSG:32618", transform=Affine(10, 0, 5e5, 0, -10, 5e6), nodata=0)
    with rasterio.open(path, "w", driver="GTiff", count=2, height=150, width=130, dtype="uint16", **grid) as file:
        file.write(pixels)
    return path


def test_an_array_and_a_file_give_the_same_pixels(pixels, scene, tmp_path):
    options = dict(tile=64, overlap=16, seed=3, batch_size=2)
    before = pixels.copy()
    result = declouds.remove_clouds(pixels, Model(), nodata=0, **options)
    assert result.dtype == np.uint16 and result.shape == pixels.shape
    np.testing.assert_array_equal(pixels, before)
    np.testing.assert_array_equal(result[:, :30, :40], 0)
    assert (result[:, 30:] > 0).all() and np.abs(result.astype(int) - pixels)[:, 30:].mean() > 100
    output = declouds.remove_clouds(scene, Model(), output=tmp_path / "o.tif", **options)
    assert output == tmp_path / "o.tif"
    with rasterio.open(output) as file:
        np.testing.assert_array_equal(file.read(), result)


def test_the_seed_decides(pixels):
    one, same, other = (remove_clouds(pixels, Model(), seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert (one != other).mean() > 0.9


def test_the_models_mode_comes_back(pixels):
    model = Model().train()
    remove_clouds(pixels, model)
    assert model.training


def test_an_array_of_fractions_with_nan(pixels):
    image = pixels.astype(np.float32)
    image[:, :30, :40] = np.nan
    model = Model()
    result = remove_clouds(image, model)
    assert np.isnan(result[:, :30, :40]).all() and np.isfinite(result[:, 30:]).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(image=np.zeros((8, 8), np.uint16)), "is an array .bands, height, width.; got shape"),
        (dict(image=np.zeros((2, 0, 8), np.uint16)), "got shape"),
        (dict(image=np.zeros((2, 8, 8), bool)), "integers or floating-point numbers; got bool"),
        (dict(image=np.zeros((3, 8, 8), np.uint16)), r"has 3 bands, the model takes 2 \(red, near infrared\)"),
        (dict(image=np.ones((2, 8, 8), np.uint8)), "is uint8, and the model was trained on values 0 to 10000"),
        (dict(image=np.ones((2, 8, 8), np.float32) / 2), "rescale the scene"),
        (dict(nodata=-1), "is uint16, which cannot hold nodata -1"),
        (dict(output="o.tif"), "leave output out"),
        (dict(tile=8, overlap=8), "from 0 to 7"),
        (dict(seed=-1), "a seed is"),
        (dict(device="gpu9"), "device 'gpu9' is not available here: use auto"),
    ],
)
def test_bad_calls_with_an_array(pixels, change, message):
    with pytest.raises(UserError, match=message):
        remove_clouds(**{"image": pixels, "model": Model(), **change})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(nodata="0"), "nodata = '0': give a number or None"),
        (dict(overlap=None), "overlap = None: give an integer"),
        (dict(tile=64.0), "tile = 64.0: give an integer"),
        (dict(seed=1.5), "seed = 1.5: give an integer"),
        (dict(seed=True), "seed = True: give an integer"),
        (dict(samples="2"), "samples = '2': give an integer"),
        (dict(blend=1), "blend = 1: give text"),
        (dict(scale="1e-4"), "scale = '1e-4': give a number or None"),
        (dict(cog="no"), "cog = 'no': give True or False"),
        (dict(mask=[[0, 1]]), "mask = a list: give text or a path or an array or None"),
        (dict(detector=3), "detector = 3: give text or a dict or None"),
        (dict(bands=3), "bands = 3: give a list of numbers or names"),
        (dict(device=0), "device = 0: give text or a device or None"),
        (dict(titel=64), "unknown argument 'titel': did you mean 'tile'"),
        (dict(model=dict()), "a model is a `CloudRemover` or the path of its weights, and not a dict"),
        (dict(model=3), "and not a int"),
    ],
)
def test_arguments_of_another_kind_are_refused_by_name(pixels, change, message):
    with pytest.raises(UserError) as caught:
        remove_clouds(**{"image": pixels, "model": Model(), **change})
    assert message in str(caught.value)


def test_an_output_of_another_kind_is_refused(scene):
    with pytest.raises(UserError, match="output = 3: give text or a path or None"):
        remove_clouds(scene, Model(), output=3)


def test_numpy_numbers_and_a_device_are_arguments_too(pixels):
    options = dict(tile=np.int64(64), overlap=np.int64(16), nodata=np.float32(0), seed=np.uint8(3))
    result = remove_clouds(pixels, Model(), device=torch.device("cpu"), **options)
    np.testing.assert_array_equal(result, remove_clouds(pixels, Model(), tile=64, overlap=16, nodata=0, seed=3))


def test_bad_calls_with_a_path_are_refused_before_the_model_is_loaded(scene, tmp_path):
    no_model = tmp_path / "no.safetensors"
    with pytest.raises(UserError, match=r"say where the result goes: output='clear\.tif'"):
        remove_clouds(scene, no_model)
    with pytest.raises(UserError, match="which is never overwritten"):
        remove_clouds(scene, no_model, output=scene, overwrite=True)
    with pytest.raises(UserError, match="no such file"):
        remove_clouds(tmp_path / "no.tif", no_model, output=tmp_path / "o.tif")
    with pytest.raises(UserError, match=r"no\.safetensors"):
        remove_clouds(str(scene), str(no_model), output=str(tmp_path / "o.tif"))
    assert [path.name for path in tmp_path.iterdir()] == ["scene.tif"]


def test_weights_by_path_and_diffusion(tmp_path):
    """A whole Diffusion Enhancement model, too small to be any good, over windows of a size it has to pad."""
    from declouds.registry import MODELS
    from declouds.weights.file import save_weights

    config = dict(
        type="DiffusionEnhancement",
        denoiser=dict(type="ConditionalUNet", base=8, multipliers=(1, 1), blocks=1, attention_at=()),
        reference=dict(type="Identity"),
        fusion=dict(type="WeightAllocation", base=8, multipliers=(1, 1), blocks=1, attention_at=()),
        noise_schedule=dict(type="LinearSchedule"),
        sampler=dict(type="DDIM", steps=2),
        bands=3,
    )
    model = MODELS.build(config)
    save_weights(tmp_path / "m.safetensors", config, model.state_dict(), {})
    image = np.random.default_rng(0).integers(0, 255, (3, 45, 70)).astype(np.uint8)
    by_path = remove_clouds(image, Path(tmp_path / "m.safetensors"), tile=37, overlap=9, device="cpu")
    np.testing.assert_array_equal(by_path, remove_clouds(image, model, tile=37, overlap=9))
    assert by_path.shape == image.shape and by_path.dtype == np.uint8


def test_the_units_that_a_model_was_trained_on_are_advised():
    model = Model()
    model.value_range = ValueRange(0, 1)
    model.record = dict(units=dict(scale=1e-4, offset=-0.1))
    stored = np.random.default_rng(0).integers(1100, 5000, (2, 40, 50)).astype(np.uint16)
    with pytest.raises(UserError, match=r"--scale 0.0001 --offset -0.1 \(as for the training images\) would fit"):
        remove_clouds(stored, model)
    assert remove_clouds(stored, model, scale=1e-4, offset=-0.1).shape == stored.shape


def test_the_mask_of_an_array_is_an_array(pixels, scene, tmp_path):
    cloud = np.zeros(pixels.shape[1:], np.uint8)
    cloud[60:100, 50:90] = 9
    options = dict(tile=64, overlap=16, nodata=0)
    with pytest.raises(UserError, match=r"mask: holds the values 0, 9.*--mask-values"):
        remove_clouds(pixels, Model(), mask=cloud, **options)
    with pytest.raises(UserError, match="a probability needs a threshold"):
        remove_clouds(pixels, Model(), mask=np.linspace(0, 1, cloud.size).reshape(cloud.shape), **options)
    result = remove_clouds(pixels, Model(), mask=cloud, mask_values=[9], **options)
    np.testing.assert_array_equal(remove_clouds(pixels, Model(), mask=cloud > 0, **options), result)
    np.testing.assert_array_equal(result[:, cloud == 0], pixels[:, cloud == 0])
    assert (result[:, cloud == 9] != pixels[:, cloud == 9]).mean() > 0.9
    np.testing.assert_array_equal(remove_clouds(pixels, Model(), mask=cloud, mask_values=[8], **options), pixels)
    classes = np.where(cloud == 9, 9, 4).astype(np.uint8)
    share = np.where(cloud == 9, 0.9, 0.1).astype(np.float32)
    for mask, said in (
        (classes, dict(mask_kind="scl")),
        (cloud.astype(int), dict(mask_bits=[3])),
        (share, dict(mask_above=0.4)),
    ):
        np.testing.assert_array_equal(remove_clouds(pixels, Model(), mask=mask, **said, **options), result)
    with pytest.raises(UserError, match="mask_kind = 'udm2': applies to files only"):
        remove_clouds(pixels, Model(), mask=cloud, mask_kind="udm2", **options)
    with pytest.raises(UserError, match=r"mask: has shape .5, 5., the image .150, 130."):
        remove_clouds(pixels, Model(), mask=np.zeros((5, 5)), **options)
    with pytest.raises(UserError, match=r"the mask of an array is an array, or 'auto'"):
        remove_clouds(pixels, Model(), mask="mask.tif", **options)
    with pytest.raises(UserError, match=r"scene\.tif: the mask of a file is a raster file, not an array"):
        remove_clouds(scene, Model(), output=tmp_path / "o.tif", mask=cloud)


@pytest.mark.parametrize("values", [None, [1], [5]])
def test_masks_in_memory_mean_what_they_mean_as_files(pixels, scene, tmp_path, caplog, values):
    """NaN, masked pixels and xarray's nodata say nothing, whatever the container; the same is cleared, and said."""
    xarray = pytest.importorskip("xarray")
    cloud = np.zeros(pixels.shape[1:], np.float32)
    cloud[60:100, 50:90] = values[0] if values else 1
    holes = np.zeros_like(cloud, bool)
    holes[:20] = True
    with_nan = np.where(holes, np.float32(np.nan), cloud)
    as_bytes = np.where(holes, 99, cloud).astype(np.uint8)
    with rasterio.open(scene) as file:
        profile = file.profile | dict(count=1, dtype="uint8", nodata=99)
    with rasterio.open(tmp_path / "mask.tif", "w", **profile) as file:
        file.write(as_bytes, 1)
    options = dict(tile=64, overlap=16, nodata=0, mask_values=values)
    remove_clouds(scene, Model(), output=tmp_path / "o.tif", mask=tmp_path / "mask.tif", **options)
    with rasterio.open(tmp_path / "o.tif") as file:
        expected = file.read()
    said = caplog.text.split("does not cover ")[1].split(" %")[0]
    stored = xarray.DataArray(as_bytes, dims=("y", "x"), attrs={"_FillValue": 99})
    for mask in (with_nan, np.ma.masked_equal(as_bytes, 99), stored, stored.where(~holes)):
        caplog.clear()
        np.testing.assert_array_equal(remove_clouds(pixels, Model(), mask=mask, **options), expected)
        assert f"does not cover {said} %" in caplog.text


@pytest.mark.parametrize("values", [{8, 9}, np.array([8, 9]), range(8, 10), (np.uint8(9),)])
def test_cloud_values_in_any_collection(pixels, values):
    cloud = np.full(pixels.shape[1:], 4)
    cloud[40:90] = 9
    options = dict(tile=64, overlap=16, nodata=0, mask=cloud)
    expected = remove_clouds(pixels, Model(), mask_values=[9], **options)
    assert (expected != pixels).any()
    np.testing.assert_array_equal(remove_clouds(pixels, Model(), mask_values=values, **options), expected)


def test_bands_by_number_and_what_is_no_list(scene, tmp_path):
    remove_clouds(scene, Model(), output=tmp_path / "text.tif", bands=["2", "1"])
    remove_clouds(scene, Model(), output=tmp_path / "numbers.tif", bands=np.array([2, 1]))
    assert (tmp_path / "numbers.tif").read_bytes() == (tmp_path / "text.tif").read_bytes()
    for name, value in dict(bands={2, 1}, mask_values=9).items():
        with pytest.raises(UserError, match=f"{name} = .*: give a list of"):
            remove_clouds(scene, Model(), output=tmp_path / "o.tif", **{name: value})
    for name, value in dict(bands="2,1", mask_values="89").items():
        with pytest.raises(UserError, match=f"{name} = '{value}': give a list of"):
            remove_clouds(scene, Model(), output=tmp_path / "o.tif", **{name: value})


def test_what_is_no_image_and_no_mask(pixels):
    for image in (pixels.tolist(), None):
        with pytest.raises(UserError, match=f"a path, and not a {type(image).__name__}"):
            remove_clouds(image, Model())
    with pytest.raises(UserError, match=r"the image: NumPy has no torch.bfloat16: give it as \.float"):
        remove_clouds(torch.ones(2, 40, 50, dtype=torch.bfloat16), Model())


def test_a_tensor_comes_back_as_one(pixels):
    cloud = np.zeros(pixels.shape[1:], np.uint8)
    cloud[60:100, 50:90] = 1
    expected = remove_clouds(pixels, Model(), mask=cloud, tile=64, overlap=16)
    result = remove_clouds(torch.from_numpy(pixels), Model(), mask=torch.from_numpy(cloud), tile=64, overlap=16)
    assert isinstance(result, torch.Tensor) and result.dtype == torch.uint16
    np.testing.assert_array_equal(result.numpy(), expected)


def test_values_that_a_mask_in_memory_cannot_hold(pixels):
    cloud = np.zeros(pixels.shape[1:], np.uint8)
    with pytest.raises(UserError, match="uint8, which cannot hold the cloud values 300"):
        remove_clouds(pixels, Model(), mask=cloud, mask_values=[300])
    with pytest.raises(UserError, match="a mask holds classes"):
        remove_clouds(pixels, Model(), mask=cloud.astype(complex))


def test_what_a_masked_image_masks_has_no_data(pixels):
    holes = np.zeros(pixels.shape, bool)
    holes[1, 30:50, 40:60] = True
    result = remove_clouds(np.ma.array(pixels, mask=holes), Model(), tile=64, overlap=16)
    assert np.ma.isMaskedArray(result) and (result.mask == holes).all()
    np.testing.assert_array_equal(result.data[:, 30:50, 40:60], pixels[:, 30:50, 40:60])
    assert (result.data[:, :20] != pixels[:, :20]).mean() > 0.9


def test_devices():
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device().type == ("cuda" if torch.cuda.is_available() else pick_device("auto").type)
    with pytest.raises(UserError, match="use auto, cpu"):
        pick_device("cuda:99")
