"""What all contract checks are made of."""

import torch

from declouds.registry import PartRegistry


def check_description(registry: PartRegistry, config: dict) -> None:
    """Check that the part has the one-line description that `declouds models` shows."""
    part = registry.find(config["type"])
    first = (part.__doc__ or "").strip().partition("\n")[0]
    require(first.endswith("."), f"the docstring of {part.__name__} begins with one line that ends with a full stop")


def random_images(seed: int, batch: int, bands: int, size: tuple[int, int]) -> torch.Tensor:
    """Return images with every value in [-0.9, 0.9], so that no clamp hides what a network does."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(batch, bands, *size, generator=generator) * 1.8 - 0.9


def random_noise(seed: int, batch: int, bands: int, size: tuple[int, int]) -> torch.Tensor:
    """Return standard normal noise."""
    return torch.randn(batch, bands, *size, generator=torch.Generator().manual_seed(seed))


def require(fulfilled: bool, sentence: str) -> None:
    """Raise AssertionError with what the contract says, unless it is kept."""
    if not fulfilled:
        raise AssertionError(f"contract broken: {sentence}")
