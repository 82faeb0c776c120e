"""timm image encoders as feature pyramids, adapted to this project's networks.

timm is imported when an encoder is built, since the import takes seconds.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from declouds.errors import UserError, did_you_mean

_PRETRAINED_ALLOWED = ContextVar("pretrained_allowed", default=True)


@contextmanager
def without_pretrained() -> Iterator[None]:
    """Build encoders without downloading pretrained weights, for models whose weights are loaded from a file."""
    token = _PRETRAINED_ALLOWED.set(False)
    try:
        yield
    finally:
        _PRETRAINED_ALLOWED.reset(token)


class TimmEncoder(nn.Module):
    """A timm encoder that returns features at several scales (``features_only``).

    The images of a batch must not affect each other, and BatchNorm statistics drift apart between processes. So every
    BatchNorm is replaced: with ``pretrained``, by one with frozen statistics and affine parameters, as in detectors
    (He et al. 2017, arXiv 1703.06870); without, by a GroupNorm (Wu & He 2018, arXiv 1803.08494).

    Args:
        name: name of the encoder in timm, for example ``convnext_tiny`` or ``resnet50.a1_in1k``.
        in_channels: channels of the input; timm adapts the first convolution of pretrained weights to them.
        pretrained: start from timm's pretrained weights, downloaded once and cached.
        img_size: input size of encoders with a fixed size; timm's default if not given.

    Attributes:
        channels: channels of each level, finest first.
        reductions: downsampling factor of each level.
        multiple: height and width of the input must be multiples of this.

    Shapes: (B, in_channels, H, W) -> a list of (B, channels[i], H / reductions[i], W / reductions[i]).

    Raises:
        UserError: the encoder is unknown, has no feature levels or only works at one size, or has no weights available.
    """

    def __init__(self, name: str, in_channels: int, *, pretrained: bool = False, img_size: int | None = None) -> None:
        super().__init__()
        _check_name(name)
        # Tensors on the meta device have no values, so there is nothing to download.
        download = pretrained and _PRETRAINED_ALLOWED.get() and torch.get_default_device().type != "meta"
        net = _create(name, in_channels, download, img_size)
        self.net = _frozen(net) if pretrained else _group_normed(net)
        self.channels: list[int] = net.feature_info.channels()
        self.reductions: list[int] = net.feature_info.reduction()
        self.channels_last = str(getattr(net, "output_fmt", None)).endswith("NHWC")
        batch_norms = sorted({type(module).__name__ for module in self.net.modules() if isinstance(module, _BatchNorm)})
        if batch_norms:
            raise UserError(
                f"the encoder {name} has batch normalisation ({', '.join(batch_norms)}) that cannot be frozen: set "
                "pretrained=False, or choose another encoder"
            )
        self.multiple = self._working_multiple(name, in_channels, img_size)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Return the features, finest first."""
        features = self.net(x)
        return [level.permute(0, 3, 1, 2) for level in features] if self.channels_last else features

    def _working_multiple(self, name: str, in_channels: int, img_size: int | None) -> int:
        """Return the smallest input multiple at which the encoder's features have the expected shapes, by trial.

        Window attention may only fit multiples of the encoder's own size (MaxViT).
        """
        coarsest = max(self.reductions)
        if any(reduction & (reduction - 1) for reduction in self.reductions):
            raise UserError(
                f"the encoder {name} downsamples by {self.reductions}, not by powers of 2: choose another encoder"
            )
        reason = ""
        for multiple in dict.fromkeys((coarsest, math.lcm(coarsest, img_size or _own_size(name)))):
            try:
                shapes = self._shapes(in_channels, multiple, 3 * multiple)
            except Exception as error:  # networks raise many kinds for an unsupported size
                reason = _first_line(error)
                continue
            expected = [
                (channels, multiple // reduction, 3 * multiple // reduction)
                for channels, reduction in zip(self.channels, self.reductions, strict=True)
            ]
            if shapes == expected:
                return multiple
            reason = f"features of {shapes} instead of {expected}"
        raise UserError(
            f"the encoder {name} does not support arbitrary image sizes ({reason}): choose one that does, such as "
            "convnext_tiny, resnet50, pvt_v2_b0 or swin_tiny_patch4_window7_224"
        )

    @torch.no_grad()
    def _shapes(self, in_channels: int, height: int, width: int) -> list[tuple[int, ...]]:
        self.eval()
        try:
            return [tuple(level.shape[1:]) for level in self(torch.zeros(1, in_channels, height, width))]
        finally:
            self.train()


def _check_name(name: str) -> None:
    """Check that timm has this encoder and these weights.

    Raises:
        UserError: it has not; lists similar names, or the encoder's weights.
    """
    import timm

    architecture, _, tag = str(name).partition(".")
    known = timm.list_models()
    if architecture not in known:
        hint = did_you_mean(architecture, known, 5)
        raise UserError(f"unknown timm encoder {name!r}: {hint}timm.list_models() lists all {len(known)}")
    weights = timm.list_models(f"{architecture}.*", pretrained=True)
    if tag and name not in weights:
        raise UserError(
            f"timm has no weights {tag!r} for {architecture}; known: {', '.join(weights) or 'none'}; or omit the tag: "
            f"{architecture}"
        )


def _create(name: str, in_channels: int, pretrained: bool, img_size: int | None) -> Any:
    """Build the timm encoder.

    Raises:
        UserError: timm cannot build it, or not with these weights or this size.
    """
    import timm

    size: dict[str, Any] = {} if img_size is None else dict(img_size=img_size)
    # Options that lift a transformer's fixed input size: the first for Swin and others, the second for ViT and others.
    options: list[dict[str, Any]] = [dict(strict_img_size=False), dict(dynamic_img_size=True), {}]
    failure: Exception | None = None
    for option in options if _own_size(name) > 1 else [{}]:
        try:
            return timm.create_model(
                name, features_only=True, in_chans=in_channels, pretrained=pretrained, **option, **size
            )
        except TypeError as error:  # option not supported
            failure = error
        except Exception as error:  # timm and its hub raise many kinds
            failure = error
            break
    reason = _first_line(failure)
    if pretrained:
        _create(name, in_channels, False, img_size)  # raises if the failure is not about the weights
        raise UserError(
            f"the pretrained weights of the encoder {name} are unavailable ({reason}): set pretrained=False, or run "
            "once with access to the hub, which caches the weights"
        )
    if img_size is not None and "img_size" in reason:
        raise UserError(f"the encoder {name} has no fixed input size: remove img_size={img_size}")
    raise UserError(
        f"timm cannot build {name} as an encoder ({reason}): choose one for which "
        "timm.create_model(name, features_only=True) works, such as convnext_tiny or resnet50"
    )


def _own_size(name: str) -> int:
    """Return an encoder's fixed input size, or 1 if it has none."""
    from timm.models import get_pretrained_cfg

    config = get_pretrained_cfg(name)
    return config.input_size[-1] if config is not None and config.fixed_input_size else 1


def _first_line(error: Exception | None) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _frozen(net: nn.Module) -> nn.Module:
    """Freeze statistics and affine parameters of every two-dimensional BatchNorm."""
    from timm.layers import freeze_batch_norm_2d

    return freeze_batch_norm_2d(net)


def _group_normed(module: nn.Module) -> nn.Module:
    """Replace every BatchNorm by a GroupNorm with its affine parameters and the activation that timm fuses into it.

    Groups have at least 8 channels, or all: the coarsest features of a small image are a single pixel, which
    normalisation per channel would set to zero.
    """
    for name, child in module.named_children():
        if not isinstance(child, _BatchNorm):
            _group_normed(child)
            continue
        channels = child.num_features
        norm = nn.GroupNorm(math.gcd(32, channels, max(channels // 8, 1)), channels, eps=child.eps)
        norm.load_state_dict(dict(weight=child.weight, bias=child.bias) if child.affine else norm.state_dict())
        fused = [part for part in (getattr(child, "drop", None), getattr(child, "act", None)) if part is not None]
        module.add_module(name, nn.Sequential(norm, *fused) if fused else norm)
    return module
