"""Image quality, in the two protocols `official` and `standard`."""

from declouds.metrics.image_quality import ImageQuality
from declouds.metrics.lpips_net import Lpips, load_lpips
from declouds.metrics.official import measure_official
from declouds.metrics.protocols import PROTOCOLS, measure
from declouds.metrics.standard import measure_standard

__all__ = ["PROTOCOLS", "ImageQuality", "Lpips", "load_lpips", "measure", "measure_official", "measure_standard"]
