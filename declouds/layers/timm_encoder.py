"""Any image encoder of timm as a pyramid of features, made fit for what is asked of our networks.

timm is imported when an encoder is built: it takes seconds.
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
    """Build encoders without fetching pretrained weights, for a model whose weights come from a file anyway."""
    token = _PRETRAINED_ALLOWED.set(False)
    try:
        yield
    finally:
        _PRETRAINED_ALLOWED.reset(token)


class TimmEncoder(nn.Module):
    """An encoder of timm that gives features at several sizes (``features_only``).

    The images of a batch must not touch each other, and statistics of BatchNorm drift apart between processes. So
    every BatchNorm is replaced: with ``pretrained``, by one whose statistics and affine parameters are fixed, as
    detectors do (He et al. 2017, arXiv 1703.06870); without, by a GroupNorm (Wu & He 2018, arXiv 1803.08494).

    Args:
        name: name of the encoder in timm, for example ``convnext_tiny`` or ``resnet50.a1_in1k``.
        in_channels: channels of the input; timm adapts the first convolution of pretrained weights to them.
        pretrained: start from timm's pretrained weights, fetched once and then cached.
        img_size: size that the encoder is made for, if it is made for one; timm's own if not given.

    Attributes:
        channels: channels of each level, the finest first.
        reductions: factor by which each level is smaller than the input.
        multiple: height and width of the input must be multiples of this.

    Shapes: (B, in_channels, H, W) -> a list of (B, channels[i], H / reductions[i], W / reductions[i]).

    Raises:
        UserError: the encoder is unknown, gives no features, has no weights within reach, or works at one size alone.
    """

    def __init__(self, name: str, in_channels: int, *, pretrained: bool = False, img_size: int | None = None) -> None:
        super().__init__()
        _check_name(name)
        # On the meta device there are no values, so none are fetched.
        fetch = pretrained and _PRETRAINED_ALLOWED.get() and torch.get_default_device().type != "meta"
        net = _create(name, in_channels, fetch, img_size)
        self.net = _frozen(net) if pretrained else _group_normed(net)
        self.channels: list[int] = net.feature_info.channels()
        self.reductions: list[int] = net.feature_info.reduction()
        self.channels_last = str(getattr(net, "output_fmt", None)).endswith("NHWC")
        left = sorted({type(module).__name__ for module in self.net.modules() if isinstance(module, _BatchNorm)})
        if left:
            raise UserError(
                f"the encoder {name} normalises over the batch ({', '.join(left)}), which cannot be frozen: set "
                "pretrained=False, or choose another encoder"
            )
        self.multiple = self._working_multiple(name, in_channels, img_size)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Return the features, the finest first."""
        features = self.net(x)
        return [level.permute(0, 3, 1, 2) for level in features] if self.channels_last else features

    def _working_multiple(self, name: str, in_channels: int, img_size: int | None) -> int:
        """Return the least multiple at which the encoder gives what it announces, found by trying.

        Windows of attention fit multiples of the size they are made for, where they fit no others (MaxViT).
        """
        coarsest = max(self.reductions)
        if any(reduction & (reduction - 1) for reduction in self.reductions):
            raise UserError(
                f"the encoder {name} shrinks by {self.reductions}, not by powers of 2: choose another encoder"
            )
        fault = ""
        for multiple in dict.fromkeys((coarsest, math.lcm(coarsest, img_size or _own_size(name)))):
            try:
                shapes = self._shapes(in_channels, multiple, 3 * multiple)
            except Exception as error:  # whatever a network raises that does not take this size
                fault = _first_line(error)
                continue
            wanted = [
                (channels, multiple // reduction, 3 * multiple // reduction)
                for channels, reduction in zip(self.channels, self.reductions, strict=True)
            ]
            if shapes == wanted:
                return multiple
            fault = f"features of {shapes} instead of {wanted}"
        raise UserError(
            f"the encoder {name} does not take images of any size ({fault}): choose one that does, for example "
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
    """Refuse a name that timm does not know.

    Raises:
        UserError: with the nearest names, or the names of this encoder's weights.
    """
    import timm

    architecture, _, tag = str(name).partition(".")
    known = timm.list_models()
    if architecture not in known:
        hint = did_you_mean(architecture, known, 5)
        raise UserError(f"timm has no encoder {name!r}: {hint}timm.list_models() lists all {len(known)}")
    weights = timm.list_models(f"{architecture}.*", pretrained=True)
    if tag and name not in weights:
        raise UserError(
            f"timm has no weights {tag!r} of {architecture}: known: {', '.join(weights) or 'none'}; or give "
            f"{architecture} alone"
        )


def _create(name: str, in_channels: int, pretrained: bool, img_size: int | None) -> Any:
    """Let timm build the encoder.

    Raises:
        UserError: it cannot, or not with these weights or this size.
    """
    import timm

    size: dict[str, Any] = {} if img_size is None else dict(img_size=img_size)
    # Transformers with a size of their own: some (Swin) let go of it by the first option, some (ViT) by the second.
    ways: list[dict[str, Any]] = [dict(strict_img_size=False), dict(dynamic_img_size=True), {}]
    fault: Exception | None = None
    for way in ways if _own_size(name) > 1 else [{}]:
        try:
            return timm.create_model(
                name, features_only=True, in_chans=in_channels, pretrained=pretrained, **way, **size
            )
        except TypeError as error:  # it does not know the option
            fault = error
        except Exception as error:  # timm and its hub raise of many kinds
            fault = error
            break
    reason = _first_line(fault)
    if pretrained:
        _create(name, in_channels, False, img_size)  # raises if the fault is the encoder's and not the weights'
        raise UserError(
            f"the pretrained weights of the encoder {name} cannot be loaded ({reason}): set pretrained=False, or run "
            "once where the hub can be reached: weights that were fetched are kept"
        )
    if img_size is not None and "img_size" in reason:
        raise UserError(f"the encoder {name} is made for no size of its own: leave img_size={img_size} out")
    raise UserError(
        f"timm cannot build {name} as an encoder ({reason}): choose one for which "
        "timm.create_model(name, features_only=True) works, for example convnext_tiny or resnet50"
    )


def _own_size(name: str) -> int:
    """Return the size that an encoder is made for, or 1 if it is made for none."""
    from timm.models import get_pretrained_cfg

    config = get_pretrained_cfg(name)
    return config.input_size[-1] if config is not None and config.fixed_input_size else 1


def _first_line(error: Exception | None) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _frozen(net: nn.Module) -> nn.Module:
    """Fix statistics and affine parameters of every two-dimensional BatchNorm."""
    from timm.layers import freeze_batch_norm_2d

    return freeze_batch_norm_2d(net)


def _group_normed(module: nn.Module) -> nn.Module:
    """Replace every BatchNorm by a GroupNorm with its affine parameters, and with the activation that timm fuses to it.

    Groups have at least 8 channels, or all: the coarsest features of a small image are one pixel, of which a norm by
    single channels would leave nothing.
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
