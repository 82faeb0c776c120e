"""Failure signatures of cloud removal: cloud left, detail blurred, colours shifted."""

import math

import torch
import torch.nn.functional as F

from declouds.evaluation.official import equal_in_gaps, of_valid

SIGNATURES = (
    "how a result fails, 0 = not at all; cloud_left: share of the cloud's signal still in the result; blur: share of "
    "the energy of fine detail (5x5 high-pass) lost, negative = too sharp or noisy; colour_shift: length of the bands' "
    "mean errors without their common part, in % of the range"
)
SPAN = 2.0  # from -1 to 1
FAINTEST = 1 / 255  # RMS of the cloud signal, half an 8-bit grey level; fainter clouds are not measured
WINDOW = 5  # pixels; finer structures count as detail


def measure_signatures(
    result: torch.Tensor,
    clear: torch.Tensor,
    cloudy: torch.Tensor,
    mask: torch.Tensor | None = None,
    valid: torch.Tensor | None = None,
) -> dict[str, float]:
    """Measure the failure signatures of one image; each is 0 for a perfect result.

    ``signature.cloud_left`` is the least-squares projection of the error on the cloud signal::

        <result - clear, cloudy - clear> / |cloudy - clear|^2        0 none left, 1 all of it, below 0 overcorrected

    over all bands, and only over cloudy pixels if there is a mask. NaN if the images of the pair do not differ (RMS
    below half a grey level), no pixel is cloudy, or the cloudy image has other bands.

    ``signature.blur`` is the lost share of the energy of fine detail, the residual of a 5x5 mean, h(x) = x -
    mean_5x5(x), without windows that cross the image border::

        1 - |h(result)|^2 / |h(clear)|^2        0 as sharp, 1 nothing left, below 0 too sharp or noisy

    NaN for images below 5 pixels and for clear images without detail.

    ``signature.colour_shift`` is the norm of the bands' mean errors e_b = mean(result_b - clear_b), without their
    common part (brightness)::

        100 * |e - mean_b(e)| / range        0 no tint, 5 a clearly visible tint

    NaN for a single band. Nodata pixels count as error-free.

    Shapes: result and clear (C, H, W), cloudy (in_bands, H, W), mask (1, H, W), 1 = cloud, valid (1, H, W) bool.
    Units: images in [-1, 1]; cloud_left and blur are fractions, colour_shift is in per cent of the range.
    """
    result, clear, cloudy = result.double(), clear.double(), cloudy.double()
    result = equal_in_gaps(result, clear, valid)
    return {
        "signature.cloud_left": _cloud_left(result, clear, cloudy, _known(mask, valid)),
        "signature.blur": _blur(result, clear),
        "signature.colour_shift": _colour_shift(of_valid(result, valid), of_valid(clear, valid)),
    }


def describe_image(
    clear: torch.Tensor, cloudy: torch.Tensor, mask: torch.Tensor | None = None, valid: torch.Tensor | None = None
) -> dict[str, float]:
    """Return facts about a pair that do not depend on the method: its cloud cover and the change by clouds.

    Shapes: as `measure_signatures`.
    Units: ``image.cover`` is the fraction of cloudy pixels (NaN without a mask), ``image.change`` the mean
        |cloudy - clear| in image units, with 2 as the full range (NaN if the bands differ).
    """
    same = cloudy.shape == clear.shape
    change = of_valid(cloudy.double() - clear.double(), valid).abs().mean().item() if same else math.nan
    cover = math.nan if mask is None else of_valid(mask >= 0.5, valid).double().mean().item()
    return {"image.cover": cover, "image.change": change}


def _known(mask: torch.Tensor | None, valid: torch.Tensor | None) -> torch.Tensor | None:
    """Return the cloud mask without nodata pixels. Shapes: (1, H, W)."""
    if valid is None:
        return mask
    return valid.double() if mask is None else mask * valid


def _cloud_left(result: torch.Tensor, clear: torch.Tensor, cloudy: torch.Tensor, mask: torch.Tensor | None) -> float:
    if cloudy.shape != clear.shape:
        return math.nan
    pixels = torch.ones_like(clear[0], dtype=torch.bool) if mask is None else mask[0] >= 0.5
    signal, error = (cloudy - clear)[:, pixels], (result - clear)[:, pixels]
    if not signal.numel() or signal.square().mean().sqrt() < FAINTEST:
        return math.nan
    return ((error * signal).sum() / signal.square().sum()).item()


def _blur(result: torch.Tensor, clear: torch.Tensor) -> float:
    if min(clear.shape[-2:]) < WINDOW:
        return math.nan
    detail = _detail(clear).square().mean()
    if detail.sqrt() < FAINTEST / 255:  # rounding errors of a flat image
        return math.nan
    return (1 - _detail(result).square().mean() / detail).item()


def _detail(image: torch.Tensor) -> torch.Tensor:
    """Return the image without its mean over 5x5 pixels. Shapes: (C, H, W) -> (C, H - 4, W - 4)."""
    edge = WINDOW // 2
    return image[:, edge:-edge, edge:-edge] - F.avg_pool2d(image[None], WINDOW, stride=1)[0]


def _colour_shift(result: torch.Tensor, clear: torch.Tensor) -> float:
    if len(clear) < 2:
        return math.nan
    errors = (result - clear).flatten(1).mean(1)
    return (100 * (errors - errors.mean()).norm() / SPAN).item()
