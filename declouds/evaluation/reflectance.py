"""The `reflectance` protocol: the metrics usual for SEN12MS-CR, also for cloudy and clear pixels apart."""

import math

import torch

from declouds.evaluation.standard import psnr_and_ssim

DARKEST = 1e-12  # length of a spectrum without a direction


def measure_reflectance(
    result: torch.Tensor,
    clear: torch.Tensor,
    mask: torch.Tensor | None = None,
    valid: torch.Tensor | None = None,
) -> dict[str, float]:
    """Measure one image in reflectance: MAE, RMSE, PSNR, SSIM and SAM, as for SEN12MS-CR.

    As in Meraner et al. 2020 (ISPRS Journal 166) and Ebel et al. 2023 (arXiv 2304.05464): over all bands of an image
    together, with peak 1. With a mask MAE, RMSE, PSNR and SAM are also given separately for cloudy and clear
    pixels (``rmse.cloudy_pixels``, ``rmse.clear_pixels``). SSIM is that of `measure_standard`. SAM leaves out pixels
    that are zero in all bands of either image. Nodata pixels are excluded.

    Shapes: images (C, H, W); mask (1, H, W), 1 = cloud; valid (1, H, W) bool.
    Units: images in [-1, 1], for reflectances of 0 and 1; MAE and RMSE in reflectance; PSNR in dB; SAM in degrees, NaN
        for one band. Undefined values (no cloudy pixel) are NaN.
    """
    known = torch.ones_like(clear[:1], dtype=torch.bool) if valid is None else valid
    groups = {"": known}
    if mask is not None:
        cloudy = mask >= 0.5
        groups |= {".cloudy_pixels": cloudy & known, ".clear_pixels": ~cloudy & known}
    values = {"ssim": psnr_and_ssim(result, clear, valid)[1]}
    ours, theirs = ((image.double() + 1) / 2 for image in (result, clear))
    for group, pixels in groups.items():
        values |= {f"{name}{group}": value for name, value in _of_pixels(ours[:, pixels[0]], theirs[:, pixels[0]])}
    return values


def _of_pixels(result: torch.Tensor, clear: torch.Tensor) -> list[tuple[str, float]]:
    """Return the metrics of some pixels. Shapes: (C, n)."""
    if not clear.numel():
        return [(name, math.nan) for name in ("mae", "rmse", "psnr", "sam")]
    error = result - clear
    rmse = error.square().mean().sqrt().item()
    psnr = -20 * math.log10(rmse) if rmse else math.inf
    return [("mae", error.abs().mean().item()), ("rmse", rmse), ("psnr", psnr), ("sam", _sam(result, clear))]


def _sam(result: torch.Tensor, clear: torch.Tensor) -> float:
    if len(clear) < 2:
        return math.nan
    lengths = result.norm(dim=0) * clear.norm(dim=0)
    directed = lengths > DARKEST
    cosine = (result * clear).sum(0)[directed] / lengths[directed]
    return math.degrees(cosine.clamp(-1, 1).acos().mean().item())  # NaN without pixels
