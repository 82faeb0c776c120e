"""MemoryNet: MPRNet behind a memory of colours at three granularities."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from declouds.errors import UserError
from declouds.layers.progressive_restoration import ProgressiveRestoration
from declouds.registry import REFERENCES

SHRINK = 0.0025  # what an item has to weigh for a pixel, to be part of its mixture


def recall(query: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
    """Return the mixture of ``items`` that are like ``query``, the unlike ones left out.

    The weights are a softmax of inner products, those up to `SHRINK` set to 0 and the rest rescaled to the sum 1 (Gong
    et al. 2019, arXiv 1904.02639, equations 3, 4 and 7).

    Shapes: query (..., C), items (N, C) -> (..., C).
    """
    weights = torch.softmax(F.linear(query, items), dim=-1)
    return F.normalize(F.threshold(weights, SHRINK, 0.0), p=1, dim=-1) @ items


class PrototypeMemory(nn.Module):
    """Parts of prototypes of classes: every pixel recalls a mixture of parts, this one of prototypes, this of classes.

    A prototype is the mean of its gated parts, a class the mean of its gated prototypes. As in the authors' code, the
    parts of a prototype are its ``parts * bands`` values cut by band, not by item; their weights need it so.

    Args:
        bands: bands of the image.
        classes: classes.
        prototypes: prototypes of a class.
        parts: parts of a prototype, the items of the memory.

    Shapes: image (B, bands, H, W) -> three of the same shape: parts, prototypes, classes.
    Units: [0, 1] of the image, since the items are learned for it.

    Raises:
        UserError: so many parts that each may weigh less than `SHRINK`.
    """

    def __init__(self, bands: int, classes: int, prototypes: int, parts: int) -> None:
        super().__init__()
        count = classes * prototypes * parts
        if not 0 < count < 1 / SHRINK:
            raise UserError(
                f"a memory has at least 1 and less than {1 / SHRINK:.0f} parts; classes={classes} x "
                f"prototypes={prototypes} x parts={parts} are {count}"
            )
        self.classes, self.parts = classes, parts
        self.items = nn.Parameter(torch.empty(count, bands).uniform_(-1, 1) / math.sqrt(bands))
        self.part_gate = nn.Conv1d(parts, parts, 1)
        self.prototype_gate = nn.Conv1d(prototypes, prototypes, 1)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return what the pixels recall; in float32, as the stages add to it what they restore."""
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
    """MPRNet whose stages see what a memory recalls of the image (Zhang et al. 2023, arXiv 2309.01377).

    Stage 1 restores from the memory's parts, stage 2 from its prototypes, stage 3 from its classes; no stage sees the
    image itself. This is the network of the authors' public code (the one that is released with Diffusion Enhancement
    under this name is `MPRNet`), with their defaults: 3.64 M parameters for 3 bands, of which the memory has 336. The
    paper's contrastive loss is no part of the network. For one set of made-up weights, memory and stages repeat outputs
    recorded from the authors' code to the rounding of float32.

    Args:
        bands: bands of the image.
        features: channels of stages 1 and 2 at full size.
        level_step: channels added at half, and again at quarter size.
        full_step: channels that stage 3 has more than ``features``.
        full_blocks: attention blocks in each of the three groups of stage 3.
        reduction: reduction of the channel attention.
        classes: classes of the memory.
        prototypes: prototypes of a class.
        parts: parts of a prototype.

    Shapes: cloudy (B, bands, H, W) -> prior (B, bands, H, W), any H and W (padded to multiples of 8 inside).
    Units: [-1, 1].

    Raises:
        UserError: fewer ``features`` than ``reduction``, or a memory of 400 parts or more.
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
        """Return what the memory recalls of ``image``: parts, prototypes, classes."""
        return self.memory(image)
