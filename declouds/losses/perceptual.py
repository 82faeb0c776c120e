"""Perceptual loss on VGG16 features, with weights from a file, a cache or a download."""

import functools
import os
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from declouds.download import cache_folder, published_weights
from declouds.errors import UserError
from declouds.registry import LOSSES

FILE_NAME = "vgg16-397923af.pth"  # torchvision's name; the hexadecimal part is the start of the file's SHA-256
URL = f"https://download.pytorch.org/models/{FILE_NAME}"
LAYERS = {0: (64, 3), 2: (64, 64), 5: (128, 64), 7: (128, 128), 10: (256, 128), 12: (256, 256), 14: (256, 256)}
POOLED = (5, 10)  # torchvision's indices of the layers preceded by pooling
COMPARED = (2, 7, 14)  # relu1_2, relu2_2, relu3_3
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet statistics

Layer = tuple[torch.Tensor, torch.Tensor]  # weight, bias


@LOSSES.register_module()
class Perceptual(nn.Module):
    """Mean squared error of VGG16's features (Johnson et al. 2016, arXiv 1603.08155, equation 2).

    Averaged over relu1_2, relu2_2 and relu3_3. Three bands are treated as RGB; otherwise each band is replicated to a
    grey image, and the loss is the mean over bands. VGG16's weights are frozen and not in the state dict.

    Args:
        weights: file with VGG16's layers under torchvision's names (``features.0.weight`` ...). If not given,
            ``$DECLOUDS_VGG16_WEIGHTS``, else ``vgg16-397923af.pth`` in our cache (``$DECLOUDS_CACHE``) or in torch
            hub's checkpoint folder, else a download of 528 MB.
        normalise: normalise by the ImageNet mean and standard deviation, as VGG16 was trained; False passes images in
            [0, 1], as some authors do.

    Shapes: output, target (B, C, H, W), H and W at least 4 -> scalar.
    Units: images in [-1, 1].

    Raises:
        UserError: the weights are missing, or the file is not VGG16's.
    """

    def __init__(self, weights: str | os.PathLike[str] | None = None, normalise: bool = True) -> None:
        super().__init__()
        self.normalise = normalise
        for index, (weight, bias) in _read(find_weights(weights)).items():
            self.register_buffer(f"weight{index}", weight, persistent=False)
            self.register_buffer(f"bias{index}", bias, persistent=False)

    def forward(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the loss."""
        with torch.no_grad():
            reference = self._features(target)
        errors = [F.mse_loss(*pair) for pair in zip(self._features(output), reference, strict=True)]
        return torch.stack(errors).mean()

    def _features(self, image: torch.Tensor) -> list[torch.Tensor]:
        x = (image + 1) / 2
        if x.shape[1] != 3:
            x = x.flatten(0, 1)[:, None].expand(-1, 3, -1, -1)  # (B C, 3, H, W): one image per band
        if self.normalise:
            x = (x - x.new_tensor(MEAN)[:, None, None]) / x.new_tensor(DEVIATION)[:, None, None]
        features = []
        for index in LAYERS:
            x = F.max_pool2d(x, 2) if index in POOLED else x
            x = F.relu(F.conv2d(x, self.get_buffer(f"weight{index}"), self.get_buffer(f"bias{index}"), padding=1))
            if index in COMPARED:
                features.append(x)
        return features


def find_weights(given: str | os.PathLike[str] | None = None) -> Path:
    """Return the path of VGG16's weights, downloaded if necessary.

    Raises:
        UserError: there is no file, and it cannot be downloaded.
    """
    try:
        return published_weights(FILE_NAME, URL, "DECLOUDS_VGG16_WEIGHTS", given)
    except OSError as error:
        raise UserError(
            f"the loss Perceptual needs VGG16's weights, but the download failed ({error}): download {URL} elsewhere, "
            f"then copy it to {cache_folder()} or set $DECLOUDS_VGG16_WEIGHTS or the loss's `weights`"
        ) from error


@functools.cache
def _read(file: Path) -> dict[int, Layer]:
    """Read the layers needed; cached, so all losses of a process share the tensors."""
    if not file.is_file():
        raise UserError(f"{file}: no such file of VGG16's weights: check the path")
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds
        raise UserError(f"{file}: not a weights file, or corrupt: use torchvision's VGG16 file ({URL})") from error
    layers = {}
    for index, (out_channels, in_channels) in LAYERS.items():
        names = (f"features.{index}.weight", f"features.{index}.bias")
        sizes = [getattr(content.get(name), "shape", None) for name in names] if isinstance(content, dict) else []
        if sizes != [(out_channels, in_channels, 3, 3), (out_channels,)]:
            raise UserError(
                f"{file}: not VGG16's weights ({names[0]} is missing or misshapen): use torchvision's file ({URL})"
            )
        layers[index] = (content[names[0]].float(), content[names[1]].float())
    return layers
