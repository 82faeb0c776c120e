"""The ways in which removed clouds fail, one figure each: cloud left, detail blurred, colours shifted."""

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
FAINTEST = 1 / 255  # RMS of a signal, half a grey level of 8 bits: below it there is nothing to be left
WINDOW = 5  # pixels; what is finer counts as detail


def measure_signatures(
    result: torch.Tensor,
    clear: torch.Tensor,
    cloudy: torch.Tensor,
    mask: torch.Tensor | None = None,
    valid: torch.Tensor | None = None,
) -> dict[str, float]:
    """Measure how one image fails; each figure is 0 for a perfect result, and its sign and size say why.

    ``signature.cloud_left`` is the projection of the error on the cloud's signal (least squares)::

        <result - clear, cloudy - clear> / |cloudy - clear|^2        0 none left, 1 all of it, below 0 overcorrected

    over all bands, and over the pixels under cloud alone where there is a mask. NaN where the two images of the pair do
    not differ (RMS below half a grey level), where no pixel is cloudy, or where the cloudy image has other bands.

    ``signature.blur`` is the share of fine detail that is lost, by the energies of what the mean over 5x5 pixels
    leaves of an image, h(x) = x - mean_5x5(x), windows that cross the edge left out::

        1 - |h(result)|^2 / |h(clear)|^2        0 as sharp, 1 nothing left, below 0 too sharp or noisy

    NaN for an image below 5 pixels and for a clear image without any detail.

    ``signature.colour_shift`` is the length of the vector of the bands' mean errors, their common part (brightness)
    removed, e_b = mean(result_b - clear_b)::

        100 * |e - mean_b(e)| / range        0 no tint, 5 a tint that shows at once

    NaN for one band, which has no colour. Pixels without data count as restored without error.

    Shapes: result and clear (C, H, W), cloudy (in_bands, H, W), mask (1, H, W), 1 = cloud, valid (1, H, W) bool.
    Units: images in [-1, 1]; shares of 1, and per cent of the range.
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
    """Return what a pair is like, whatever the method: its cloud cover and how much the cloud changes.

    Shapes: as `measure_signatures`.
    Units: ``image.cover`` is the share of pixels under cloud (NaN without a mask), ``image.change`` the mean
        |cloudy - clear| in the images' units, 2 being the whole range (NaN if the bands differ).
    """
    same = cloudy.shape == clear.shape
    change = of_valid(cloudy.double() - clear.double(), valid).abs().mean().item() if same else math.nan
    cover = math.nan if mask is None else of_valid(mask >= 0.5, valid).double().mean().item()
    return {"image.cover": cover, "image.change": change}


def _known(mask: torch.Tensor | None, valid: torch.Tensor | None) -> torch.Tensor | None:
    """Return the cloud mask without the pixels that have no data. Shapes: (1, H, W)."""
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
    if detail.sqrt() < FAINTEST / 255:  # what rounding leaves of a flat image
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
