"""LPIPS with AlexNet: weights from a file, a cache or a download, in that order."""

import functools
import logging
import os
import warnings
from pathlib import Path

import torch

from declouds.download import cache_folder, published_weights
from declouds.errors import UserError

FILE_NAME = "alexnet-owt-7be5be79.pth"  # torchvision's name; the hexadecimal suffix is the start of the SHA-256
URL = f"https://download.pytorch.org/models/{FILE_NAME}"
SMALLEST = 31  # pixels that AlexNet needs on each side

logger = logging.getLogger("declouds")


class Lpips:
    """Learned perceptual distance of two images, AlexNet v0.1 (Zhang et al. 2018, arXiv 1801.03924, equation 1).

    Args:
        weights: file with AlexNet's feature layers under torchvision's names (``features.0.weight`` ...); the linear
            heads come with the `lpips` package.

    Raises:
        UserError: the file is missing, unreadable or lacks a layer.
    """

    def __init__(self, weights: Path) -> None:
        features = _read(weights)
        net = _untrained_net()
        trunk: torch.nn.Module = net.net  # type: ignore[assignment]
        # lpips names the layers slice1.0, slice2.3, ...: the last number is torchvision's.
        wanted = {name: "features." + name.split(".", 1)[1] for name in trunk.state_dict()}
        missing = [theirs for theirs in wanted.values() if theirs not in features]
        if missing:
            raise UserError(f"{weights}: lacks {', '.join(missing)}: give AlexNet's weights, as torchvision saves them")
        try:
            trunk.load_state_dict({ours: features[theirs] for ours, theirs in wanted.items()})
        except RuntimeError as error:
            raise UserError(f"{weights}: layer sizes differ from AlexNet's: {' '.join(str(error).split())}") from error
        self.net = net.requires_grad_(False).eval()

    def __call__(self, a: torch.Tensor, b: torch.Tensor) -> float:
        """Return the distance, NaN for images smaller than 31 pixels. Shapes: (3, H, W) each. Units: [-1, 1]."""
        if min(a.shape[-2:]) < SMALLEST:
            _say_too_small(*a.shape[-2:])
            return float("nan")
        self.net.to(a.device)
        with torch.inference_mode():
            return self.net(a[None].float(), b[None].float()).item()


def load_lpips(weights: str | os.PathLike[str] | None = None) -> Lpips | None:
    """Build LPIPS from ``weights``, else ``$DECLOUDS_LPIPS_WEIGHTS``, else a cached file, else a download.

    The caches are ``$DECLOUDS_CACHE`` and torch hub's checkpoint folder. If neither has the file and the download
    fails, returns None and warns once that LPIPS is skipped.

    Raises:
        UserError: the given or cached file is missing, unreadable or not AlexNet's.
    """
    try:
        file = published_weights(FILE_NAME, URL, "DECLOUDS_LPIPS_WEIGHTS", weights)
    except OSError as error:
        _say_missing(str(error), cache_folder())
        return None
    return _load(file)


@functools.cache
def _load(weights: Path) -> Lpips:
    return Lpips(weights)


def _read(weights: Path) -> dict[str, torch.Tensor]:
    if not weights.is_file():
        raise UserError(f"{weights}: no such file of LPIPS weights: check the path")
    try:
        content = torch.load(weights, map_location="cpu", weights_only=True)
    except Exception as error:  # torch passes on any error of its unpickler
        raise UserError(
            f"{weights}: damaged or not a weights file: give AlexNet's weights, as torchvision saves them"
        ) from error
    if not isinstance(content, dict):
        raise UserError(f"{weights}: is not a state dict: give AlexNet's weights, as torchvision saves them")
    return content


def _untrained_net() -> torch.nn.Module:
    """Build the network without changing the global random state."""
    import lpips  # seconds to import

    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # lpips uses a deprecated torchvision argument
        return lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)


@functools.cache
def _say_missing(reason: str, folder: Path) -> None:
    logger.warning(
        "LPIPS is skipped: its weights cannot be downloaded (%s): give AlexNet's weights by --lpips-weights or "
        "$DECLOUDS_LPIPS_WEIGHTS, or put %s into %s",
        reason,
        FILE_NAME,
        folder,
    )


@functools.cache
def _say_too_small(height: int, width: int) -> None:
    logger.warning("LPIPS is skipped for %d x %d images: it needs at least %d pixels per side", height, width, SMALLEST)
