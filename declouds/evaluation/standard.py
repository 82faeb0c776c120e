"""The `standard` protocol: torchmetrics on float images, also per band and for cloudy and clear pixels."""

import math
from types import ModuleType

import torch

from declouds.evaluation.lpips_net import Lpips
from declouds.evaluation.official import equal_in_gaps, of_valid, three_band_views, whole_windows

SPAN = 2.0  # from -1 to 1
SSIM_WINDOW = 11


def measure_standard(
    result: torch.Tensor,
    clear: torch.Tensor,
    lpips: Lpips | None = None,
    mask: torch.Tensor | None = None,
    valid: torch.Tensor | None = None,
) -> dict[str, float]:
    """Measure one image in float: PSNR, SSIM (Gaussian 11x11, mean over bands), MAE, SAM, ERGAS and LPIPS-Alex.

    PSNR and MAE are also given per band (``psnr.band1`` ...) and, with a mask, separately for cloudy and clear pixels
    (``psnr.cloudy_pixels``, ``psnr.clear_pixels``). SSIM, SAM and ERGAS are relative to zero, so they are computed on
    images rescaled to [0, 1]: on [-1, 1] dark and bright pixels have opposite signs and SSIM becomes negative. SAM
    excludes pixels that are zero in all bands of either image, which have no angle. ERGAS uses a resolution ratio of 1.
    Unless there are 3 bands, LPIPS is the mean over the bands, each repeated to 3. Nodata pixels are excluded, and so
    are SSIM windows that contain them; LPIPS sees no difference there.

    Shapes: images (C, H, W); mask (1, H, W), 1 = cloud; valid (1, H, W) bool.
    Units: images in [-1, 1]; PSNR in dB, infinite for equal images; MAE in image units (2 is the full range); SAM in
        degrees; undefined values (no cloudy pixel, image too small) are NaN; one band has no ``sam``.
    """
    psnr, ssim = psnr_and_ssim(result, clear, valid)
    result, clear = equal_in_gaps(result.double(), clear.double(), valid), clear.double()
    ours, theirs = of_valid(result, valid), of_valid(clear, valid)
    values = {
        "psnr": psnr,
        "ssim": ssim,
        "mae": _mae(ours, theirs),
        **_spectral((ours.view(*ours.shape[:2], -1) + 1) / 2, (theirs.view(*ours.shape[:2], -1) + 1) / 2),
    }
    if lpips is not None:
        views = three_band_views(result, clear)
        values["lpips"] = sum(lpips(a, b) for a, b in views) / len(views)
    for number, (band, clear_band) in enumerate(zip(ours, theirs, strict=True), start=1):
        values[f"psnr.band{number}"] = _psnr(band, clear_band)
        values[f"mae.band{number}"] = _mae(band, clear_band)
    if mask is not None:
        cloudy, known = mask[0] >= 0.5, torch.ones_like(mask[0], dtype=torch.bool) if valid is None else valid[0]
        for where, pixels in (("cloudy_pixels", cloudy & known), ("clear_pixels", ~cloudy & known)):
            values[f"psnr.{where}"] = _psnr(result[:, pixels], clear[:, pixels])
            values[f"mae.{where}"] = _mae(result[:, pixels], clear[:, pixels])
    return values


def psnr_and_ssim(result: torch.Tensor, clear: torch.Tensor, valid: torch.Tensor | None = None) -> tuple[float, float]:
    """Return the PSNR and the SSIM of `measure_standard`. Shapes and units: as there."""
    result, clear = equal_in_gaps(result.double(), clear.double(), valid), clear.double()
    psnr = _psnr(of_valid(result, valid), of_valid(clear, valid))
    return psnr, _ssim((result + 1) / 2, (clear + 1) / 2, valid)


def _torchmetrics() -> ModuleType:
    """Return torchmetrics' functions of images: seconds to import, and the other protocols do without."""
    from torchmetrics.functional import image

    return image


def _psnr(result: torch.Tensor, clear: torch.Tensor) -> float:
    return _torchmetrics().peak_signal_noise_ratio(result, clear, data_range=SPAN).item() if clear.numel() else math.nan


def _mae(result: torch.Tensor, clear: torch.Tensor) -> float:
    return (result - clear).abs().mean().item()  # NaN without pixels


def _ssim(result: torch.Tensor, clear: torch.Tensor, valid: torch.Tensor | None) -> float:
    """Return the SSIM of images in [0, 1], in float32 for speed."""
    if min(clear.shape[-2:]) < SSIM_WINDOW:
        return math.nan
    images = (result[None].float(), clear[None].float())
    if valid is None:
        return torch.as_tensor(_torchmetrics().structural_similarity_index_measure(*images, data_range=1.0)).item()
    _, similarity = _torchmetrics().structural_similarity_index_measure(*images, data_range=1.0, return_full_image=True)
    return similarity[0][:, whole_windows(valid, SSIM_WINDOW, SSIM_WINDOW // 2)[0]].mean().item()


def _spectral(result: torch.Tensor, clear: torch.Tensor) -> dict[str, float]:
    """Return SAM and ERGAS of images in [0, 1]."""
    values = {}
    if len(clear) > 1:
        angles = _torchmetrics().spectral_angle_mapper(result[None], clear[None], reduction="none")
        values["sam"] = math.degrees(angles.nanmean().item())
    ergas = _torchmetrics().error_relative_global_dimensionless_synthesis(result[None], clear[None], ratio=1).item()
    values["ergas"] = ergas if math.isfinite(ergas) else math.nan  # infinite if a band of the clear image is all zero
    return values
