"""MemoryNet: MPRNet on the output of a colour memory at three granularities."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from declouds.errors import UserError
from declouds.layers.progressive_restoration import ProgressiveRestoration
from declouds.registry import REFERENCES

SHRINK = 0.0025  # items with weights up to this are left out of a pixel's mixture


def recall(query: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
    """Return a mixture of the ``items`` similar to ``query``.

    The weights are a softmax of inner products, with those up to `SHRINK` set to 0 and the rest renormalised (Gong et
    al. 2019, arXiv 1904.02639, equations 3, 4 and 7).

    Shapes: query (..., C), items (N, C) -> (..., C).
    """
    weights = torch.softmax(F.linear(query, items), dim=-1)
    return F.normalize(F.threshold(weights, SHRINK, 0.0), p=1, dim=-1) @ items


class PrototypeMemory(nn.Module):
    """Hierarchical memory: each pixel recalls a mixture of parts, that one of prototypes, and that one of classes.

    A prototype is the mean of its gated parts, a class the mean of its gated prototypes. As in the authors' code, the
    ``parts * bands`` values of a prototype are split by band, not by item; their weights require it.

    Args:
        bands: bands of the image.
        classes: classes.
        prototypes: prototypes per class.
        parts: parts per prototype, the items of the memory.

    Shapes: image (B, bands, H, W) -> three of the same shape: parts, prototypes, classes.
    Units: images in [0, 1].

    Raises:
        UserError: so many parts that all weights may be below `SHRINK`.
    """

    def __init__(self, bands: int, classes: int, prototypes: int, parts: int) -> None:
        super().__init__()
        count = classes * prototypes * parts
        if not 0 < count < 1 / SHRINK:
            raise UserError(
                f"a memory must have 1 to {1 / SHRINK - 1:.0f} parts; classes={classes} x prototypes={prototypes} x "
                f"parts={parts} is {count}"
            )
        self.classes, self.parts = classes, parts
        self.items = nn.Parameter(torch.empty(count, bands).uniform_(-1, 1) / math.sqrt(bands))
        self.part_gate = nn.Conv1d(parts, parts, 1)
        self.prototype_gate = nn.Conv1d(prototypes, prototypes, 1)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the recalled images, in float32, since the stages add residuals to them."""
        with torch.autocast(image.device.type, enabled=False):
            parts = self.items.unflatten(0, (-1, self.parts))  # (classes * prototypes, parts, bands)
            by_band = parts.reshape(len(parts), -1, self.parts).transpose(1, 2)  # the same shape, cut by band
            prototypes = (torch.sigmoid(self.part_gate(by_band)) * by_band).mean(1)
            grouped = prototypes.unflatten(0, (self.classes, -1))  # (classes, prototypes, bands)
            classes = (torch.sigmoid(self.prototype_gate(grouped)) * grouped).mean(1)

            of_parts = recall(image.float().movedim(1, -1), self.items)  # (B, H, W, bands)
            of_prototypes = recall(of_parts, prototypes)
            of_classes = recall(of_prototypes, classes)
        return of_parts.movedim(-1, 1), of_prototypes.movedim(-1, 1), of_classes.movedim(-1, 1)


@REFERENCES.register_module()
class MemoryNet(ProgressiveRestoration):
    """MPRNet whose stages work on a memory's reconstruction of the image (Zhang et al. 2023, arXiv 2309.01377).

    Stage 1 restores from the memory's parts, stage 2 from its prototypes, stage 3 from its classes; no stage sees the
    image itself. This is the network of the authors' public code (the one released with Diffusion Enhancement under
    this name is `MPRNet`), with their defaults: 3.64 M parameters for 3 bands, 336 of them in the memory. The paper's
    contrastive loss is not included. With synthetic weights, memory and stages reproduce outputs of the authors' code
    to float32 rounding.

    Args:
        bands: bands of the image.
        features: channels of stages 1 and 2 at full size.
        level_step: channels added at 1/2, and again at 1/4.
        full_step: extra channels of stage 3.
        full_blocks: attention blocks in each of the three groups of stage 3.
        reduction: reduction of the channel attention.
        classes: classes of the memory.
        prototypes: prototypes per class.
        parts: parts per prototype.

    Shapes: cloudy (B, bands, H, W) -> prior (B, bands, H, W), any H and W (padded to multiples of 8 inside).
    Units: [-1, 1].

    Raises:
        UserError: ``features`` is less than ``reduction``, or the memory has 400 parts or more.
    """

    def __init__(
        self,
        bands: int = 3,
        features: int = 40,
        *,
        level_step: int = 20,
        full_step: int = 16,
        full_blocks: int = 8,
        reduction: int = 4,
        classes: int = 10,
        prototypes: int = 2,
        parts: int = 5,
    ) -> None:
        super().__init__(
            bands,
            features,
            level_step=level_step,
            full_step=full_step,
            full_blocks=full_blocks,
            reduction=reduction,
        )
        self.memory = PrototypeMemory(bands, classes, prototypes, parts)

    def stage_images(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return ``image`` as recalled from the memory's parts, prototypes and classes."""
        return self.memory(image)
