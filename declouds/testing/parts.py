"""Helpers shared by all contract checks."""

import torch

from declouds.registry import PartRegistry


def check_description(registry: PartRegistry, config: dict) -> None:
    """Check that the part has the one-line description that `declouds models` shows."""
    part = registry.find(config["type"])
    first = (part.__doc__ or "").strip().partition("\n")[0]
    require(
        first.endswith("."), f"the docstring of {part.__name__} must start with one line that ends with a full stop"
    )


def random_images(seed: int, batch: int, bands: int, size: tuple[int, int]) -> torch.Tensor:
    """Return images with values in [-0.9, 0.9], so that clamping has no effect."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(batch, bands, *size, generator=generator) * 1.8 - 0.9


def random_noise(seed: int, batch: int, bands: int, size: tuple[int, int]) -> torch.Tensor:
    """Return standard normal noise."""
    return torch.randn(batch, bands, *size, generator=torch.Generator().manual_seed(seed))


def require(condition: bool, message: str) -> None:
    """Raise AssertionError with ``message`` unless the contract's ``condition`` holds."""
    if not condition:
        raise AssertionError(f"contract violated: {message}")
