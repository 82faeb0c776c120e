"""The official files of Diffusion Enhancement: denoiser and fusion in one, as guided-diffusion saves them."""

import re
from typing import Any

from declouds.weights.kinds.kind import Kind, Shapes, count


def _unet_config(shapes: Shapes, prefix: str) -> dict[str, Any]:
    """Return base, multipliers, blocks and attention of one U-Net; its heads leave no trace in the shapes."""
    base = shapes[f"{prefix}input_blocks.0.0.weight"][0]
    multipliers: list[int] = []
    blocks = 1
    attention_at: list[int] = []
    for index in range(1, count(shapes, rf"{re.escape(prefix)}input_blocks\.(\d+)\.")):
        stage = f"{prefix}input_blocks.{index}"
        if f"{stage}.0.op.weight" in shapes:  # the first block of a level follows
            blocks = 1
            continue
        if index == 1 or f"{prefix}input_blocks.{index - 1}.0.op.weight" in shapes:
            multipliers.append(shapes[f"{stage}.0.in_layers.2.weight"][0] // base)
        else:
            blocks += 1
        factor = 2 ** (len(multipliers) - 1)
        if f"{stage}.1.qkv.weight" in shapes and factor not in attention_at:
            attention_at.append(factor)
    return dict(base=base, multipliers=multipliers, blocks=blocks, attention_at=attention_at)


def _de_config(shapes: Shapes) -> dict[str, Any]:
    bands = shapes["out.2.weight"][0]
    in_bands = shapes["input_blocks.0.0.weight"][1] - bands
    first = "input_blocks.1.0"
    scale_shift = shapes[f"{first}.emb_layers.1.weight"][0] == 2 * shapes[f"{first}.in_layers.2.weight"][0]
    # 4 and 1 heads are what the official configuration has.
    denoiser = dict(**_unet_config(shapes, ""), heads=4, scale_shift=scale_shift)
    fusion = dict(**_unet_config(shapes, "wc."), heads=1)
    return dict(
        type="DiffusionEnhancement",
        denoiser=dict(type="ConditionalUNet", bands=bands, in_bands=in_bands, **denoiser),
        fusion=dict(type="WeightAllocation", bands=bands, in_bands=in_bands, **fusion),
    )


DE = Kind(
    signature="input_blocks.0.0.weight",
    config_of=_de_config,
    unused=None,
    rules=(
        (r"^(?=(time_embed|input_blocks|middle_block|output_blocks|out)\.)", "denoiser.unet."),
        (r"^wc\.", "fusion.unet."),
        (r"\.input_blocks\.", ".encoder."),
        (r"\.middle_block\.", ".middle."),
        (r"\.output_blocks\.", ".decoder."),
        (r"\.in_layers\.0\.", ".norm1."),
        (r"\.in_layers\.2\.", ".conv1."),
        (r"\.emb_layers\.1\.", ".time_projection."),
        (r"\.out_layers\.0\.", ".norm2."),
        (r"\.out_layers\.3\.", ".conv2."),
        (r"\.skip_connection\.", ".shortcut."),
        (r"\.op\.", ".conv."),
    ),
)
