"""The `official` protocol: metrics as in published tables of this field, defects included."""

from collections.abc import Iterable

import torch
import torch.nn.functional as F

from declouds.evaluation.lpips_net import Lpips

LUMA = (0.298912, 0.586611, 0.114478)  # weights of R, G, B in the grey image that SSIM sees
WINDOW = 7
K1, K2, PEAK = 0.01, 0.03, 255.0
# Whole grey levels can lose up to 3e-5 in float32, and truncation would then lower them by one level. With this offset
# an 8-bit image is measured exactly as stored.
FLOAT32_ERROR = 1e-3


def measure_official(
    result: torch.Tensor, clear: torch.Tensor, lpips: Lpips | None = None, valid: torch.Tensor | None = None
) -> dict[str, float]:
    """Measure one image like the evaluator of the Diffusion Enhancement authors (Sui et al. 2024, arXiv 2401.15105).

    Both images are truncated to 8 bit. PSNR is over all bands together; SSIM (Wang et al. 2004, equation 13) is of the
    luma, in uniform 7x7 windows with the sample covariance. LPIPS-Alex is fed 0..255, although the network expects
    [-1, 1]: a defect of that evaluator, kept because published scores have it. Unless there are 3 bands, SSIM and LPIPS
    are the mean over the bands, each repeated to 3. Nodata pixels, which that evaluator does not support, are excluded
    from PSNR, and so are windows that contain them from SSIM; LPIPS sees no difference there.

    Shapes: images (C, H, W); valid (1, H, W) bool.
    Units: images in [-1, 1]; PSNR in dB, infinite for equal images; `ssim` is NaN below 7 pixels, `lpips` below 31.
    """
    result = equal_in_gaps(result, clear, valid)
    result, clear = truncate_to_8_bit(result), truncate_to_8_bit(clear)
    values = {
        "psnr": (10 * torch.log10(PEAK**2 / of_valid(result - clear, valid).square().mean())).item(),
        "ssim": _mean(_ssim(_luma(a), _luma(b), valid) for a, b in three_band_views(result, clear)),
    }
    if lpips is not None:
        values["lpips"] = _mean(lpips(a, b) for a, b in three_band_views(result, clear))
    return values


def truncate_to_8_bit(image: torch.Tensor) -> torch.Tensor:
    """Map [-1, 1] to integers 0..255 (as float64) by truncation."""
    return ((image.double() + 1) * 127.5 + FLOAT32_ERROR).floor().clamp(0, 255)


def equal_in_gaps(image: torch.Tensor, clear: torch.Tensor, valid: torch.Tensor | None) -> torch.Tensor:
    """Return an image with the clear one's values at nodata pixels. Shapes: (C, H, W), valid (1, H, W)."""
    return image if valid is None else torch.where(valid, image, clear)


def of_valid(image: torch.Tensor, valid: torch.Tensor | None) -> torch.Tensor:
    """Return the valid pixels. Shapes: (C, H, W), valid (1, H, W) -> (C, n), or (C, H, W) if valid is None."""
    return image if valid is None else image[:, valid[0]]


def whole_windows(valid: torch.Tensor, size: int, padding: int = 0) -> torch.Tensor:
    """Return which windows are valid. Shapes: (1, H, W) -> (1, H - size + 1 + 2 padding, W - size + 1 + 2 padding)."""
    return F.max_pool2d(-valid[None].float(), size, stride=1, padding=padding)[0] == -1


def three_band_views(a: torch.Tensor, b: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return the pair itself if it has 3 bands, else one pair per band, each band repeated to 3."""
    if len(a) == 3:
        return [(a, b)]
    return [(band_a.expand(3, -1, -1), band_b.expand(3, -1, -1)) for band_a, band_b in zip(a, b, strict=True)]


def _luma(image: torch.Tensor) -> torch.Tensor:
    """Shapes: (3, H, W) -> (1, 1, H, W)."""
    weights = torch.tensor(LUMA, dtype=image.dtype, device=image.device)
    return torch.tensordot(weights, image, dims=1)[None, None]


def _ssim(a: torch.Tensor, b: torch.Tensor, valid: torch.Tensor | None) -> float:
    """Return the mean SSIM over all fully valid windows inside the images. Shapes: (1, 1, H, W) each."""
    if min(a.shape[-2:]) < WINDOW:
        return float("nan")

    def window_mean(image: torch.Tensor) -> torch.Tensor:
        return F.avg_pool2d(image, WINDOW, stride=1)

    sample = WINDOW**2 / (WINDOW**2 - 1)  # population to sample covariance
    mean_a, mean_b = window_mean(a), window_mean(b)
    var_a = sample * (window_mean(a * a) - mean_a * mean_a)
    var_b = sample * (window_mean(b * b) - mean_b * mean_b)
    cov = sample * (window_mean(a * b) - mean_a * mean_b)
    c1, c2 = (K1 * PEAK) ** 2, (K2 * PEAK) ** 2
    similarity = (2 * mean_a * mean_b + c1) * (2 * cov + c2) / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
    return (similarity[0] if valid is None else similarity[0, whole_windows(valid, WINDOW)]).mean().item()


def _mean(values: Iterable[float]) -> float:
    values = list(values)
    return sum(values) / len(values)
