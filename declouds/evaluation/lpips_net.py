"""LPIPS with AlexNet, without a surprise: the weights from a file, a cache or a download, in that order."""

import functools
import logging
import os
import warnings
from pathlib import Path

import torch

from declouds.download import cache_folder, published_weights
from declouds.errors import UserError

FILE_NAME = "alexnet-owt-7be5be79.pth"  # torchvision's name; the hexadecimal part begins the file's SHA-256
URL = f"https://download.pytorch.org/models/{FILE_NAME}"
SMALLEST = 31  # pixels that AlexNet needs on each side

logger = logging.getLogger("declouds")


class Lpips:
    """Learned perceptual distance of two images, AlexNet v0.1 (Zhang et al. 2018, arXiv 1801.03924, equation 1).

    Args:
        weights: a file with AlexNet's feature layers under torchvision's names (``features.0.weight`` ...); the linear
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
            raise UserError(f"{weights}: no AlexNet weights with torchvision's names, it lacks {', '.join(missing)}")
        try:
            trunk.load_state_dict({ours: features[theirs] for ours, theirs in wanted.items()})
        except RuntimeError as error:
            raise UserError(
                f"{weights}: layers of another size than AlexNet's: {' '.join(str(error).split())}"
            ) from error
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

    The caches are our own (``$DECLOUDS_CACHE``) and torch hub's checkpoint folder. If neither has the file and it
    cannot be downloaded, None is returned and a warning says, once, that there will be no LPIPS.

    Raises:
        UserError: the file given, or the one in the cache, is missing, unreadable or not AlexNet's.
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
        raise UserError(f"{weights}: there is no such file of LPIPS weights: check the path")
    try:
        content = torch.load(weights, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever its unpickler stumbles over
        raise UserError(
            f"{weights}: no file of weights, or damaged: give AlexNet's, as torchvision saves them"
        ) from error
    if not isinstance(content, dict):
        raise UserError(f"{weights}: holds no named weights: give AlexNet's, as torchvision saves them")
    return content


def _untrained_net() -> torch.nn.Module:
    """Build the network; its random weights leave the program's random numbers as they were."""
    import lpips  # seconds to import

    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # lpips calls torchvision by an old name of an argument
        return lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)


@functools.cache
def _say_missing(reason: str, folder: Path) -> None:
    logger.warning(
        "no LPIPS: its weights cannot be downloaded (%s). Give a file with AlexNet's layers by --lpips-weights or "
        "$DECLOUDS_LPIPS_WEIGHTS, or put %s into %s",
        reason,
        FILE_NAME,
        folder,
    )


@functools.cache
def _say_too_small(height: int, width: int) -> None:
    logger.warning("no LPIPS for images of %d x %d pixels: it needs at least %d on each side", height, width, SMALLEST)
