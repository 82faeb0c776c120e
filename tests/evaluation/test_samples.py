"""Scores of several samples, by distributions of which the right answer is known."""

import itertools

import numpy as np
import pytest
import torch
from scipy.stats import norm

from declouds.calibration import SpreadCalibration, recorded_calibration
from declouds.errors import UserError
from declouds.evaluation.evaluate_model import evaluate_model
from declouds.evaluation.reliability import Reliability
from declouds.evaluation.samples import SampleScores, central_interval, crps
from declouds.evaluation.statistics import compare
from declouds.models.cloud_remover import CloudRemover
from declouds.scenes.api import remove_clouds
from declouds.scenes.sampling.noise import noise_seed
from declouds.scenes.sampling.tiled import clear_samples
from declouds.scenes.sampling.tiles import Tiling

SPREAD = 0.02


class Spreads(CloudRemover):
    """Gives the cloudy image with noise of a known deviation."""

    draws_noise = True

    def __init__(self, spread=SPREAD):
        super().__init__(bands=2)
        self.spread = spread

    def predict(self, cloudy, noise, *, name=None, variant=None, record=None):
        return cloudy + self.spread * noise


def dataset(error, images=3, size=48):
    """Pairs whose clear image is the cloudy one with noise of the deviation ``error``: as a further sample would be."""
    generator = torch.Generator().manual_seed(0)
    pairs = []
    for index in range(images):
        cloudy = torch.rand(2, size, size, generator=generator) - 0.5
        clear = cloudy + error * torch.randn(2, size, size, generator=generator)
        pairs.append(dict(cloudy=cloudy, clear=clear, name=str(index)))
    return pairs


def scored(error, samples, calibration=None, **options):
    scores = SampleScores(samples, 2, calibration)
    rows = evaluate_model(Spreads(), dataset(error), protocols=("standard",), scores=scores, **options)["result"]
    mean = {key: np.mean([row[key] for row in rows]) for key in rows[0] if key != "name"}
    return scores, mean


@pytest.mark.parametrize("samples", [2, 5, 19, 40])
def test_a_reliable_model_covers_what_it_says(samples):
    scores, mean = scored(SPREAD, samples)
    assert mean["samples.coverage50"] == pytest.approx(0.5, abs=0.015)
    assert mean["samples.coverage90"] == pytest.approx(0.9, abs=0.015)
    assert mean["samples.spread"] == pytest.approx(SPREAD * np.sqrt(1 + 1 / samples), rel=0.02)
    assert mean["samples.rmse"] == pytest.approx(mean["samples.spread"], rel=0.03)
    told = scores.content()["interval"]
    assert ("quantiles of the samples" if samples >= 19 else "Student's t") in told and told in scores.describe()


@pytest.mark.parametrize("samples", [2, 8])
def test_crps_is_that_of_the_normal_distribution_whatever_the_number_of_samples(samples):
    _, mean = scored(2 * SPREAD, samples)
    errors = np.concatenate([(pair["clear"] - pair["cloudy"]).numpy().ravel() for pair in dataset(2 * SPREAD)])
    z = errors / SPREAD  # Gneiting & Raftery 2007, section 4.2
    exact = SPREAD * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / np.sqrt(np.pi))
    assert mean["samples.crps"] == pytest.approx(exact.mean(), rel=0.02)


def test_crps_is_the_definition_and_of_equal_samples_the_absolute_error():
    random = np.random.default_rng(0)
    samples, truth = random.normal(size=(4, 3, 5)), random.normal(size=(3, 5))
    pairs = sum(np.abs(one - other) for one in samples for other in samples)
    expected = np.abs(samples - truth).mean(0) - pairs / (2 * 4 * 3)
    np.testing.assert_allclose(crps(samples, truth), expected)
    np.testing.assert_allclose(crps(np.stack([samples[0]] * 3), truth), np.abs(samples[0] - truth))


def test_quantiles_are_those_of_ranks():
    low, high = central_interval(np.arange(1.0, 20.0), 0.9)
    assert (low, high) == (1, 19)  # of 20 draws one lies below the least of the 19 others, on average
    low, high = central_interval(np.arange(1.0, 20.0), 0.5)
    assert (low, high) == (5, 15)


def test_the_first_sample_is_the_result_and_more_samples_change_nothing_of_it():
    plain = evaluate_model(Spreads(), dataset(SPREAD), protocols=("standard",))["result"]
    scores = SampleScores(4, 2)
    rows = evaluate_model(Spreads(), dataset(SPREAD), protocols=("standard",), scores=scores, batch_size=2)["result"]
    for one, other in zip(plain, rows, strict=True):
        assert {key: other[key] for key in one} == pytest.approx(one, nan_ok=True)
        assert other["samples.psnr.best_sample"] >= other["standard.psnr"]
        assert other["samples.psnr.mean_image"] > other["samples.psnr.best_sample"]  # noise is averaged out
        assert other["samples.rmse"] == pytest.approx(2 / 10 ** (other["samples.psnr.mean_image"] / 20))


def test_samples_in_windows_are_those_of_whole_images_and_of_scenes():
    _, whole = scored(SPREAD, 3)
    _, tiled = scored(SPREAD, 3, tiling=Tiling(32, 8))
    assert {key: tiled[key] for key in whole} == pytest.approx(whole, rel=1e-4, nan_ok=True)
    cloudy, seed = dataset(SPREAD)[0]["cloudy"], noise_seed("0", 7)
    both = [clear_samples(Spreads(), cloudy, seed, 3, tiling) for tiling in (None, Tiling(32, 8))]
    torch.testing.assert_close(both[0], both[1])
    stored = (127.5 * (cloudy.numpy() + 1)).astype(np.float32)
    scene = remove_clouds(stored, Spreads(), seed=seed, tile=32, overlap=8, scale=1.0) / 127.5 - 1
    np.testing.assert_allclose(both[0][0], scene, atol=1e-5)


def wide(factor, samples=32, count=40_000):
    """Errors by spread, where the spread of pixels differs and errors are ``factor`` times as wide."""
    random = np.random.default_rng(0)
    width = np.exp(random.uniform(np.log(0.005), np.log(0.1), (2, count)))
    drawn = width * random.standard_normal((samples, 2, count))
    errors = drawn.mean(0) - factor * width * random.standard_normal((2, count))
    table = Reliability(2, samples)
    spread = drawn.std(0, ddof=1)
    table.add(spread, spread, errors)
    return table, spread, errors


def test_the_calibration_finds_that_errors_are_twice_the_spread():
    table, spread, errors = wide(2.0)
    found = table.fit(steps=5)
    assert found.b == pytest.approx((2, 2), rel=0.06) and max(found.a) < 0.005
    assert (found.samples, found.steps) == (32, 5)
    inside = np.abs(errors) <= norm.ppf(0.95) * found.deviation(spread, 32)
    assert inside.mean() == pytest.approx(0.9, abs=0.01)
    for raw in table.curve(found):
        assert raw["rmse"] == pytest.approx(raw["calibrated"], rel=0.1)
        assert raw["rmse"] / raw["spread"] == pytest.approx(2, rel=0.15)


def test_a_constant_error_is_found_and_no_error_is_no_deviation():
    spread = np.random.default_rng(0).uniform(0, 0.1, (1, 50_000))
    table = Reliability(1, 4)
    table.add(spread, spread, 0.03 * np.random.default_rng(1).standard_normal(spread.shape))
    found = table.fit(None)
    assert found.a == pytest.approx((0.03,), rel=0.03) and found.b[0] < 0.1
    table = Reliability(1, 4)
    table.add(spread, spread, 0 * spread)
    assert (table.fit(None).a, table.fit(None).b) == ((0,), (0,))
    assert Reliability(1, 4).curve() == []


def test_the_curve_has_ten_bins_of_as_many_pixels():
    table, spread, errors = wide(1.0)
    curve = table.curve()
    assert len(curve) == 10 and sum(entry["pixels"] for entry in curve) == spread.size
    assert all(entry["pixels"] == pytest.approx(spread.size / 10, rel=0.05) for entry in curve)
    assert all(one["to"] == other["from"] for one, other in itertools.pairwise(curve))
    inside = (curve[3]["from"] < spread) & (spread <= curve[3]["to"])
    assert curve[3]["pixels"] == inside.sum()
    assert curve[3]["rmse"] == pytest.approx(np.sqrt((errors[inside] ** 2).mean()))
    assert "calibrated" not in curve[0]


def test_a_calibration_corrects_the_coverage():
    fitted = scored(2 * SPREAD, 8)[0].by_spread.fit(None)
    scores, mean = scored(2 * SPREAD, 8, fitted)
    assert mean["samples.coverage90"] < 0.7
    assert mean["samples.coverage90.calibrated"] == pytest.approx(0.9, abs=0.02)
    assert mean["samples.coverage50.calibrated"] == pytest.approx(0.5, abs=0.02)
    assert mean["samples.spread.calibrated"] == pytest.approx(mean["samples.rmse"], rel=0.02)
    assert scores.content()["calibration"]["samples"] == 8


def test_fewer_samples_are_off_by_the_error_of_the_mean_and_their_own():
    random = np.random.default_rng(0)
    drawn = 0.1 * random.standard_normal((4, 1, 100_000))
    errors = drawn.mean(0) - 0.2 * random.standard_normal((1, 100_000))
    table, spread = Reliability(1, 4), drawn.std(0, ddof=1)
    table.add(spread, spread, errors)
    single = drawn[0] - drawn.mean(0) + errors
    found = table.fit(None)
    assert np.sqrt((found.deviation(spread) ** 2).mean()) == pytest.approx(single.std(), rel=0.01)
    pair = drawn[:2].mean(0) - drawn.mean(0) + errors
    assert np.sqrt((found.deviation(spread, 2) ** 2).mean()) == pytest.approx(pair.std(), rel=0.01)


def test_gaps_do_not_count():
    pair = dataset(SPREAD, images=1)[0]
    valid = torch.ones(1, 48, 48, dtype=torch.bool)
    valid[:, :20] = False
    drawn = torch.stack([pair["cloudy"], pair["cloudy"] + 0.01])
    expected = SampleScores(2, 2).measure(drawn[..., 20:, :], pair["clear"][:, 20:], pair["cloudy"][:, 20:])
    drawn[..., :20, :] = 9.0
    scores = SampleScores(2, 2)
    found = scores.measure(drawn, pair["clear"], pair["cloudy"], valid)
    without_ssim = [key for key in expected if "ssim" not in key]  # whose windows differ at the edge
    assert {key: found[key] for key in without_ssim} == pytest.approx({key: expected[key] for key in without_ssim})
    assert scores.content()["by_thickness"][-1]["to"] < 1


def test_a_coverage_is_compared_by_its_distance_to_what_it_should_be():
    rows = [[{"name": "a", "samples.coverage50": value}] for value in (0.6, 0.45)]
    assert compare(*rows)["samples.coverage50"].mean == pytest.approx(0.05)


def test_a_model_without_noise_is_refused():
    model = Spreads()
    model.draws_noise = False
    with pytest.raises(UserError, match="draws no noise"):
        evaluate_model(model, dataset(SPREAD), scores=SampleScores(2, 2))


def test_a_record_counts_for_its_steps_and_bands_alone():
    found = dict(spread=dict(a=[0.1, 0.2], b=[1.0, 2.0], samples=4, steps=5))
    assert recorded_calibration(found, 2, 5) == SpreadCalibration((0.1, 0.2), (1.0, 2.0), 4, 5)
    for record, bands, steps in ((found, 2, 4), (found, 3, 5), ({}, 2, 5), (dict(spread=dict(a=[1])), 2, 5)):
        assert recorded_calibration(record, bands, steps) is None
