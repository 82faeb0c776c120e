import math

import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.registry import METRICS

import declouds.evaluation.image_quality  # noqa: F401 (registers the metric)
from declouds.errors import UserError
from declouds.evaluation.official import measure_official


def samples(count=5, bands=3, mask=False):
    made = []
    for index in range(count):
        random = torch.Generator().manual_seed(index)
        clear = torch.rand(bands, 16, 16, generator=random) * 2 - 1
        result = (clear + 0.1 * (index + 1)).clamp(-1, 1)
        made.append(
            dict(result=result, clear=clear, name=f"image{index}", mask=torch.ones(1, 16, 16) if mask else None)
        )
    return made


def test_the_loop_gets_means_over_images_whatever_the_batches():
    expected = [measure_official(sample["result"], sample["clear"]) for sample in samples()]
    for size in (1, 2, 5):
        evaluator = Evaluator([dict(type="ImageQuality", lpips=False)])
        for start in range(0, 5, size):
            evaluator.process(data_samples=samples()[start : start + size], data_batch={})
        found = evaluator.evaluate(5)
        assert set(found) == {"official/psnr", "official/ssim"}
        assert found["official/psnr"] == pytest.approx(sum(values["psnr"] for values in expected) / 5)
        assert found["official/ssim"] == pytest.approx(sum(values["ssim"] for values in expected) / 5)


def test_repeated_samples_of_a_distributed_run_do_not_count():
    metric = METRICS.build(dict(type="ImageQuality", lpips=False))
    padded = [*samples(), samples()[0]]
    metric.process({}, padded[:4])
    metric.process({}, padded[4:])
    assert len(metric.results) == 6  # one entry an image is what lets MMEngine drop the repeated one
    metric.evaluate(5)
    assert [row["name"] for row in metric.per_image] == [f"image{index}" for index in range(5)]


def test_every_value_is_kept_and_the_first_protocol_is_reported():
    metric = METRICS.build(dict(type="ImageQuality", protocols=("standard", "official"), lpips=False))
    metric.process({}, samples(2, mask=True))
    found = metric.evaluate(2)
    assert {"standard/psnr", "standard/mae.cloudy_pixels"} <= set(found)
    assert not [key for key in found if "official" in key]
    assert {"official.psnr", "standard.sam", "standard.psnr.band3"} <= set(metric.per_image[1])
    assert math.isnan(found["standard/psnr.clear_pixels"])


def test_an_equal_image_does_not_make_the_mean_infinite():
    metric = METRICS.build(dict(type="ImageQuality", lpips=False))
    good, equal = samples(2)
    equal["result"] = equal["clear"]
    metric.process({}, [good, equal])
    assert metric.evaluate(2)["official/psnr"] == measure_official(good["result"], good["clear"])["psnr"]
    assert metric.per_image[1]["official.psnr"] == math.inf


def test_an_unknown_protocol_is_refused():
    with pytest.raises(UserError, match="choose official, standard, reflectance or both"):
        METRICS.build(dict(type="ImageQuality", protocols=("offical",), lpips=False))
