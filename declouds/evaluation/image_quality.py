"""Image quality in MMEngine's validation and test loops."""

from collections.abc import Sequence
from typing import Any

from mmengine.evaluator import BaseMetric
from mmengine.registry import METRICS

from declouds.evaluation.lpips_net import load_lpips
from declouds.evaluation.protocols import check_protocols, measure
from declouds.evaluation.statistics import summarise


@METRICS.register_module()
class ImageQuality(BaseMetric):
    """Quality of each image by the given protocols.

    The loop reports the means of the first protocol, under its name (``official/psnr``); ``per_image`` then holds all
    values of each image, on the main process.

    Args:
        protocols: ``official``, ``standard`` or both.
        lpips_weights: AlexNet's feature layers; None uses the cached file or downloads it.
        lpips: False skips LPIPS.

    Raises:
        UserError: unknown protocol, or unusable LPIPS weights.
    """

    def __init__(
        self,
        protocols: Sequence[str] = ("official",),
        lpips_weights: str | None = None,
        lpips: bool = True,
        collect_device: str = "cpu",
        collect_dir: str | None = None,
    ) -> None:
        self.protocols = check_protocols(protocols)
        super().__init__(collect_device=collect_device, prefix=self.protocols[0], collect_dir=collect_dir)
        self.lpips = load_lpips(lpips_weights) if lpips else None
        self.per_image: list[dict[str, Any]] = []

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        """Keep one entry per image: MMEngine drops images repeated by distributed samplers by counting entries.

        Shapes: each sample holds ``result`` and ``clear`` (C, H, W), ``name``, and optionally ``mask`` and ``valid``
            (1, H, W).
        Units: [-1, 1].
        """
        for sample in data_samples:
            result, clear = sample["result"], sample["clear"].to(sample["result"].device)
            where = [
                value if value is None else value.to(result.device) for value in map(sample.get, ("mask", "valid"))
            ]
            self.results.append({"name": sample["name"], **measure(result, clear, self.protocols, self.lpips, *where)})

    def compute_metrics(self, results: list[dict[str, Any]]) -> dict[str, float]:
        """Return the means of the first protocol, for example ``{'psnr': ..., 'ssim': ..., 'lpips': ...}``."""
        self.per_image = list(results)
        own = f"{self.protocols[0]}."
        summary = summarise(self.per_image, intervals=False)
        return {metric.removeprefix(own): value.mean for metric, value in summary.items() if metric.startswith(own)}
