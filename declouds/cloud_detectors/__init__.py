"""Cloud detectors: image in [-1, 1] -> the pixels that are cloud."""

from declouds.cloud_detectors.bright_white import BrightWhite
from declouds.cloud_detectors.omni_cloud_mask import OmniCloudMask

__all__ = ["BrightWhite", "OmniCloudMask"]
