"""What every model offers to the engine: losses, predictions, and parts that can be frozen."""

from collections.abc import Callable, Collection, Sequence
from typing import Any

import torch
from mmengine.model import BaseModel

from declouds.errors import UserError
from declouds.value_range import ValueRange


class CloudRemover(BaseModel):
    """A model made of named parts, some trained, the rest frozen.

    Args:
        bands: bands of the image.
        in_bands: bands of the cloudy input; ``bands`` if not given.
        value_range: sensor values that stand for -1 and 1: part of the model's record, for files in sensor units.
        band_names: names of the bands, in order.
    """

    parts: tuple[str, ...] = ()
    reference: Any  # a network, or None

    def __init__(
        self,
        bands: int = 3,
        in_bands: int | None = None,
        value_range: tuple[float, float] = (0.0, 255.0),
        band_names: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.bands = bands
        self.in_bands = in_bands or bands
        self.value_range = ValueRange(*value_range)
        self.band_names = tuple(band_names)
        self.trained: frozenset[str] = frozenset()
        self.restore: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = self.predict

    @property
    def needs_names(self) -> bool:
        """Whether the reference looks its prior up by the image's name, so that tiles of an image have none."""
        return getattr(self.reference, "needs_names", False)

    @torch.no_grad()
    def prior(self, cloudy: torch.Tensor, name: list[str] | None = None) -> torch.Tensor:
        """Return the reference's picture of the clear image, in [-1, 1].

        Shapes: cloudy (B, in_bands, H, W) -> (B, bands, H, W).

        Raises:
            UserError: the model has no reference.
        """
        if self.reference is None:
            raise UserError("this model has no reference, so it has no prior")
        return self.reference(cloudy, name) if self.needs_names else self.reference(cloudy)

    def predict(self, cloudy: torch.Tensor, noise: torch.Tensor, *, name: list[str] | None = None) -> torch.Tensor:
        """Return the clear image; ``name`` is for references that look their prior up.

        Shapes: cloudy (B, in_bands, H, W), noise (B, bands, H, W) -> (B, bands, H, W).
        """
        raise NotImplementedError

    def losses(self, cloudy: torch.Tensor, clear: torch.Tensor, name: list[str]) -> dict[str, torch.Tensor]:
        """Return the named losses of a batch, to be summed."""
        raise NotImplementedError

    def existing_parts(self) -> list[str]:
        """Return the parts that this model was built with."""
        return [part for part in self.parts if getattr(self, part, None) is not None]

    def train_only(self, parts: Collection[str]) -> None:
        """Freeze everything but ``parts``.

        Raises:
            UserError: the model has no such part.
        """
        existing = self.existing_parts()
        unknown = sorted(set(parts) - set(existing))
        if unknown:
            raise UserError(
                f"{type(self).__name__} has no part {', '.join(unknown)} to train; it has {', '.join(existing)}"
            )
        self.trained = frozenset(parts)
        for part in existing:
            getattr(self, part).requires_grad_(part in self.trained)
        self.train(self.training)

    def train(self, mode: bool = True) -> "CloudRemover":
        """Set training mode for the trained parts alone: MMEngine calls this before every iteration."""
        super().train(mode)
        for part in self.existing_parts():
            if part not in self.trained:
                getattr(self, part).eval()
        return self

    def forward(self, cloudy: torch.Tensor, clear: torch.Tensor, name: list[str], mode: str, **extra: Any) -> Any:
        """Answer MMEngine: ``mode='loss'`` gives losses, ``mode='predict'`` one dict per image for the metrics.

        In ``predict`` mode the batch brings its start ``noise``, so that a result depends on the image alone.
        """
        if mode == "loss":
            return self.losses(cloudy, clear, name)
        if self.needs_names:
            results = self.predict(cloudy, extra["noise"], name=name)  # whole images: such a prior cannot be tiled
        else:
            results = self.restore(cloudy, extra["noise"])
        masks = extra.get("mask", [None] * len(results))
        samples = [
            dict(result=result, clear=target, name=one)
            for result, target, one in zip(results, clear, name, strict=True)
        ]
        for sample, mask in zip(samples, masks, strict=True):
            if mask is not None:
                sample["mask"] = mask
        return samples
