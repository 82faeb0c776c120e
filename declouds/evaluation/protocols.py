"""The evaluation protocols by name."""

from collections.abc import Sequence

import torch

from declouds.errors import UserError
from declouds.evaluation.lpips_net import Lpips
from declouds.evaluation.official import measure_official
from declouds.evaluation.reflectance import measure_reflectance
from declouds.evaluation.standard import measure_standard

PROTOCOLS = {
    "official": "uint8 by truncation; PSNR over all bands; SSIM of luma, 7x7 uniform; LPIPS-Alex fed 0..255; "
    "unless 3 bands: SSIM and LPIPS per band repeated to 3, mean",
    "standard": "float; torchmetrics PSNR; SSIM (11x11 Gaussian), SAM (degrees) and ERGAS (ratio 1) on [0, 1]; "
    "MAE and LPIPS-Alex on [-1, 1]",
    "reflectance": "float, in reflectance; MAE, RMSE and PSNR (peak 1) over all bands; SSIM as standard; SAM (degrees)",
}
BOTH = ("official", "standard")


def check_protocols(names: Sequence[str]) -> tuple[str, ...]:
    """Return the protocol names, with ``both`` expanded to official and standard.

    Raises:
        UserError: unknown protocol.
    """
    names = BOTH if tuple(names) == ("both",) else tuple(names)
    unknown = [name for name in names if name not in PROTOCOLS]
    if unknown or not names:
        raise UserError(
            f"unknown protocol {', '.join(unknown) or '(none given)'}: choose {', '.join(PROTOCOLS)} or both"
        )
    return names


def measure(
    result: torch.Tensor,
    clear: torch.Tensor,
    protocols: Sequence[str],
    lpips: Lpips | None = None,
    mask: torch.Tensor | None = None,
    valid: torch.Tensor | None = None,
) -> dict[str, float]:
    """Measure one image by each protocol; keys are like ``official.psnr``.

    Shapes: images (C, H, W); mask (1, H, W), 1 = cloud; valid (1, H, W) bool, False for nodata.
    Units: [-1, 1].
    """
    values: dict[str, float] = {}
    if "official" in protocols:
        values |= {f"official.{key}": value for key, value in measure_official(result, clear, lpips, valid).items()}
    if "standard" in protocols:
        standard = measure_standard(result, clear, lpips, mask, valid)
        values |= {f"standard.{key}": value for key, value in standard.items()}
    if "reflectance" in protocols:
        values |= {
            f"reflectance.{key}": value for key, value in measure_reflectance(result, clear, mask, valid).items()
        }
    return values
