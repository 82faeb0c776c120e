"""What the page says of a metric: its name in words, unit, better direction, and what it means."""

from collections.abc import Iterable
from typing import Any

from declouds.evaluation.metric_names import FACTS, better, decimals

LABELS = {
    "psnr": "PSNR",
    "ssim": "SSIM",
    "lpips": "LPIPS",
    "mae": "MAE",
    "sam": "SAM",
    "ergas": "ERGAS",
    "cloud_left": "cloud left",
    "colour_shift": "colour shift",
    "crps": "CRPS",
    "coverage50": "coverage of 50 %",
    "coverage90": "coverage of 90 %",
    "rmse": "RMSE of the mean",
    "reflectance.rmse": "RMSE",
}
DECIMALS = {"cloud_left": 3, "blur": 3, "colour_shift": 2}  # the others as in the tables
UNITS = {"psnr": "dB", "sam": "°", "colour_shift": "%"}
MEANINGS = {
    "psnr": "peak signal to noise ratio: the mean squared error on a logarithmic scale",
    "ssim": "structural similarity: 1 is equal",
    "lpips": "learned perceptual distance: 0 looks equal",
    "mae": "mean absolute error on [-1, 1]: 2 is the whole range",
    "sam": "mean angle between the spectra of a pixel",
    "ergas": "error of the bands relative to their means",
    "cloud_left": "the share of the cloud's signal that is still in the result: 0 none, 1 all, below 0 overcorrected",
    "blur": "the share of the energy of fine detail that is lost: 0 as sharp, 1 none left, below 0 too sharp or noisy",
    "colour_shift": "the length of the bands' mean errors without their common part, in per cent of the range: a tint",
    "crps": "continuous ranked probability score of the samples: the MAE where they agree",
    "coverage50": "the share of pixels whose clear value is in the central 50 % interval of the samples",
    "coverage90": "the share of pixels whose clear value is in the central 90 % interval of the samples",
    "spread": "the RMSE that the mean of the samples should have by their standard deviation",
    "reflectance.mae": "mean absolute error in reflectance",
    "reflectance.rmse": "root of the mean squared error in reflectance",
    "rmse": "the root of the mean squared error of the mean of the samples",
    "cover": "the share of the image that is under cloud, by its mask",
    "change": "the mean difference of the cloudy and the clear image on [-1, 1]: 2 is the whole range",
}


def describe_metrics(keys: Iterable[str]) -> list[dict[str, Any]]:
    """Return one record a metric or fact, in the order of ``keys``, facts last."""
    return [_describe(key) for key in sorted(keys, key=lambda key: key.startswith(FACTS))]


def _describe(key: str) -> dict[str, Any]:
    group, _, name = key.partition(".")
    kind, _, detail = name.partition(".")
    words = detail.replace("_", " ").replace("band", "band ").strip()
    return {
        "key": key,
        "group": group,
        "label": " ".join(filter(None, (_of(LABELS, group, kind, kind.replace("_", " ")), words))),
        "unit": UNITS.get(kind, ""),
        "better": "" if key.startswith(FACTS) else better(key),
        "decimals": DECIMALS.get(kind, decimals(key)),
        "meaning": _of(MEANINGS, group, kind, ""),
        "detail": bool(detail),  # of one band, or of some pixels: shown on request
    }


def _of(texts: dict[str, str], group: str, kind: str, default: str) -> str:
    """Return the text of a metric: of its protocol, if it means something else there."""
    return texts.get(f"{group}.{kind}", texts.get(kind, default))
