"""Other dates as prior: the same fill as with files, what is missing, and a whole DE with it."""

import json

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from declouds import remove_clouds
from declouds.cli import main
from declouds.errors import UserError
from declouds.image_io import read_image, write_image
from declouds.references.composite import Composite
from declouds.sources import Source
from declouds.value_range import ValueRange
from declouds.weights.file import load_model

UNITS = ValueRange(0, 10000)
NAMES = ("red", "green", "blue")
SIZE = 96
CLOUD = np.zeros((SIZE, SIZE), bool)
CLOUD[30:60, 30:70] = True
OF_DATE = np.zeros_like(CLOUD)
OF_DATE[30:45, 30:70] = True


def land(seed=0):
    noise = np.random.default_rng(seed).standard_normal((3, SIZE, SIZE))
    return np.clip(1200 + 2500 * gaussian_filter(noise, (0, 2, 2)), 300, 2500)


def series():
    """Return the image under a cloud, and two dates in other colours, the first of them under half of that cloud."""
    image, first, second = land(), land() * 1.1 + 60, land() * 0.9 + 80
    image[:, CLOUD], first[:, OF_DATE] = 7000, 7000
    return [np.rint(values).astype(np.uint16) for values in (image, first, second)]


def sources(*names, optional=False, days=(None, None)):
    dates = [Source(name, "optical", NAMES, (0, 10000), day, optional) for name, day in zip(names, days, strict=False)]
    return (Source("image", "optical", NAMES, (0, 10000)), *dates)


def as_input(*images):
    return torch.from_numpy(np.concatenate([UNITS.to_model(image) for image in images]))[None]


def stored(prior):
    return UNITS.from_model(prior[0].numpy(), "float64")


@pytest.mark.parametrize("composite", ["median", "nearest", "linear"])
@pytest.mark.parametrize("colour", ["match", "keep"])
def test_it_fills_as_dates_fill_an_image(composite, colour):
    images = series()
    reference = Composite(3, 9, sources("a", "b", days=(-10, 30)), composite=composite, colour=colour)
    prior = reference(as_input(*images))
    filled = remove_clouds(
        images[0].astype(np.float64),
        dates={"2020-06-05": images[1].astype(np.float64), "2020-07-15": images[2].astype(np.float64)},
        **dict(target="2020-06-15", scale=1e-4, composite=composite, colour=colour),
        detector=dict(type="BrightWhite", band_names=list(NAMES)),
    )
    np.testing.assert_allclose(stored(prior), filled, atol=0.05)
    assert np.abs(stored(prior) - images[0])[:, ~CLOUD].max() < 1e-2
    assert np.abs(stored(prior) - land())[:, CLOUD].mean() < (40 if colour == "match" else 120)


def test_missing_dates_fall_back_to_the_others_and_then_to_the_image():
    image, first, second = (UNITS.to_model(values) for values in series())
    given = sources("a", "b", optional=True)
    reference = Composite(3, 11, given, dates=2, colour="keep")
    there = np.ones((1, SIZE, SIZE), np.float32)
    missing = given[1].missing(SIZE, SIZE)

    def prior(*parts):
        return reference(torch.from_numpy(np.concatenate(parts))[None])[0].numpy()

    whole = prior(image, first, there, second, there)
    np.testing.assert_array_equal(whole[:, ~CLOUD], image[:, ~CLOUD])
    both = CLOUD & ~OF_DATE
    np.testing.assert_allclose(whole[:, both], ((first + second) / 2)[:, both], atol=1e-6)
    np.testing.assert_array_equal(whole[:, OF_DATE], second[:, OF_DATE])
    np.testing.assert_array_equal(prior(image, first, there, missing)[:, both], first[:, both])
    np.testing.assert_array_equal(prior(image, first, there, missing)[:, OF_DATE], image[:, OF_DATE])
    np.testing.assert_array_equal(prior(image, missing, second, there)[:, CLOUD], second[:, CLOUD])
    np.testing.assert_array_equal(prior(image, missing, missing), image)
    half = there.copy()
    half[:, :, :50] = -1  # this part of the second date has no data
    np.testing.assert_array_equal(prior(image, missing, second, half)[:, 35, 30:50], image[:, 35, 30:50])
    np.testing.assert_array_equal(prior(image, missing, second, half)[:, 35, 50:70], second[:, 35, 50:70])


def test_masks_among_the_sources_are_used_before_a_detector():
    image, first, _ = (UNITS.to_model(values) for values in series())
    given = (*sources("a"), Source("image_cloud", "cloud", ("1",), (0, 1)), Source("a_cloud", "cloud", ("1",), (0, 1)))
    reference = Composite(3, 8, given, colour="keep")
    assert reference.detector is None
    masks = [np.where(cloud, 1, -1).astype(np.float32)[None] for cloud in (CLOUD & (np.arange(SIZE) < 50), OF_DATE)]
    prior = reference(torch.from_numpy(np.concatenate([image, first, *masks]))[None])[0].numpy()
    expected = np.where(CLOUD & ~OF_DATE & (np.arange(SIZE) < 50), first, image)
    np.testing.assert_array_equal(prior, expected)


def test_a_mask_that_is_missing_is_found_by_the_detector():
    image, first, _ = (UNITS.to_model(values) for values in series())
    mask = Source("image_cloud", "cloud", ("1",), (0, 1), optional=True)
    reference = Composite(3, 8, (*sources("a"), mask), colour="keep")
    prior = reference(torch.from_numpy(np.concatenate([image, first, mask.missing(SIZE, SIZE)]))[None])[0].numpy()
    np.testing.assert_array_equal(prior, np.where(CLOUD & ~OF_DATE, first, image))


def test_under_a_closed_cloud_the_dates_keep_their_colours():
    _, first, second = (UNITS.to_model(values) for values in series())
    cloud = UNITS.to_model(np.full((3, SIZE, SIZE), 7000))
    prior = Composite(3, 9, sources("a", "b"))(torch.from_numpy(np.concatenate([cloud, first, second]))[None])
    np.testing.assert_allclose(prior[0].numpy(), np.where(OF_DATE, second, (first + second) / 2), atol=1e-6)
    grey = Composite(3, 9, sources("a", "b"))(torch.from_numpy(np.concatenate([cloud] * 3))[None])
    np.testing.assert_array_equal(grey[0].numpy(), cloud)  # no date is clear either


@pytest.mark.parametrize("flagged", [False, True])
def test_without_a_description_dates_follow_the_image(flagged):
    images = [UNITS.to_model(values) for values in series()]
    there = [np.ones((1, SIZE, SIZE), np.float32)] * flagged
    stack = torch.from_numpy(np.concatenate([images[0], *(one for date in images[1:] for one in (date, *there))]))[None]
    described = Composite(3, stack.shape[1], sources("a", "b", optional=flagged), detector=dict(type="BrightWhite"))
    counted = Composite(3, stack.shape[1], dates=2, detector=dict(type="BrightWhite", band_names=NAMES))
    assert torch.equal(counted(stack), described(stack))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(dates=2), "dates = 2, and the input has 5 channels beside the 3 of the image: give the data the dates"),
        (dict(dates=0), "dates = 0: give their number, 1 or more"),
        (dict(inputs=sources("a"), dates=2), r"1 of the further sources \(a\) are optical .* 2 are needed"),
        (dict(inputs=(*sources(), Source("sar", "sar", ("VV",), (-25, 0)))), r"0 of the further sources \(sar\)"),
        (
            dict(inputs=sources("a", "b"), composite="linear"),
            r"needs the days .* sources=dict\(a=dict\(folder='a', kind=",
        ),
        (dict(composite="mean"), "composite = 'mean': choose one of linear, nearest, median"),
        (dict(colour="warm"), "colour = 'warm': choose one of match, keep"),
        (dict(inputs=sources("a"), detector="CloudScore"), "CloudScore needs the bands B01"),
        (dict(inputs=sources("a"), detector="OwnChange"), "OwnChange cannot be built"),
    ],
)
def test_what_cannot_be_built(arguments, message):
    with pytest.raises(UserError, match=message):
        Composite(3, 8, **arguments)


NET = dict(base=8, multipliers=(1, 1), blocks=1, attention_at=())
CONFIG = """
num_workers = 0
val = dict(images=1, panels=1)
datamodule = dict(
    type="PairedFolder", root={root!r}, split="folders", val="test", value_range=[0, 10000],
    band_names=["red", "green", "blue"], **{data!r}
)
model = dict(
    type="DiffusionEnhancement",
    denoiser=dict(type="ConditionalUNet", predicts="clear", **{net!r}),
    reference=dict(type="Composite", dates=2, **{reference!r}),
    fusion=dict(type="WeightAllocation", **{net!r}),
    noise_schedule=dict(type="LinearSchedule"),
    sampler=dict(type="DDIM", steps=2),
)
_short = dict(iterations=3, batch_size=2, lr=1e-3, crop=64)
stages = [
    dict(name="diffusion", train=["denoiser"], **_short, reduce=1),
    dict(name="fusion", train=["fusion"], **_short),
]
"""
DATED = {name: dict(folder=name, kind="optical", days=day) for name, day in (("d1", -10), ("d2", 30))}


@pytest.mark.parametrize(
    ("data", "reference"),
    [
        (dict(sources=dict(dates=["d1", "d2"]), drop=dict(d1=0.4, d2=0.4)), {}),
        (dict(sources=DATED), dict(composite="linear")),
    ],
    ids=["dropped", "with days"],
)
def test_a_de_with_it_is_trained_tested_and_clears_stacks(tmp_path, monkeypatch, data, reference):
    for part, count in (("train", 3), ("test", 2)):
        for folder in ("cloud", "label", "d1", "d2"):
            (tmp_path / "data" / part / folder).mkdir(parents=True)
        for number in range(count):
            for folder, image in zip(("cloud", "d1", "d2"), series(), strict=True):
                write_image(tmp_path / "data" / part / folder / f"{part}{number}.tif", image)
            write_image(tmp_path / "data" / part / "label" / f"{part}{number}.tif", land().astype(np.uint16))
    if "drop" in data:
        (tmp_path / "data/test/d1/test1.tif").unlink()
    config = tmp_path / "config.py"
    config.write_text(CONFIG.format(root=str(tmp_path / "data"), data=data, net=NET, reference=reference))
    main(["train", str(config), "--work-dir", str(tmp_path / "run")])
    weights = tmp_path / "run" / "model.safetensors"
    model = load_model(weights)
    assert (model.bands, model.in_bands, len(model.reference.dates)) == (3, 11 if "drop" in data else 9, 2)
    monkeypatch.setattr("declouds.evaluation.lpips_net.load_lpips", lambda weights: lambda a, b: 0.0)
    main(["test", str(config), str(weights), "--variants", "--device", "cpu", "--out", str(tmp_path / "scores")])
    methods = json.loads((tmp_path / "scores/results.json").read_text())["methods"]
    assert all(row["standard.psnr"] > 25 for row in methods["prior"]["per_image"])
    images = series()
    there = [np.full((1, SIZE, SIZE), 10000, np.uint16)] * ("drop" in data)
    stack = np.concatenate([images[0], *(one for date in images[1:] for one in (date, *there))])
    result = remove_clouds(stack, weights, tile=64, overlap=16, device="cpu")
    assert result.shape == images[0].shape and (result != images[0])[:, CLOUD].mean() > 0.9
    write_image(tmp_path / "stack.tif", stack)
    options = ["--checkpoint", weights, "-o", tmp_path / "clear.tif", "--tile", 64, "--overlap", 16, "--device", "cpu"]
    main(["predict", *map(str, [tmp_path / "stack.tif", *options])])
    np.testing.assert_array_equal(read_image(tmp_path / "clear.tif"), result)
