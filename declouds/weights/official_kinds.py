"""What the official weight files hold: a network's size from its shapes, and our name for each of its keys.

One table of rules a network; they are applied in turn to every key by ``re.sub``. Where official names count from 1,
ours count from 0.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Shapes = dict[str, tuple[int, ...]]
Rule = tuple[str, str | Callable[[re.Match[str]], str]]


@dataclass(frozen=True)
class Kind:
    """One kind of official weight file.

    Attributes:
        signature: a key that files of this kind have, and of the other kinds have not.
        rules: (pattern, replacement) from official to our keys.
        unused: pattern of the official keys that the official output does not depend on, and ours have no place for.
        config_of: the arguments that build our network, from the official shapes.
    """

    signature: str
    rules: tuple[Rule, ...]
    unused: str | None
    config_of: Callable[[Shapes], dict[str, Any]]

    def rename(self, key: str) -> str:
        """Return our name for an official key."""
        for pattern, replacement in self.rules:
            key = re.sub(pattern, replacement, key)
        return key


def _less_one(template: str) -> Callable[[re.Match[str]], str]:
    """Return a replacement that puts each number of the match, less one, into ``template``."""
    return lambda match: template.format(*[int(number) - 1 for number in match.groups()])


def _count(shapes: Shapes, pattern: str) -> int:
    """Return how many different values the group in ``pattern`` takes over all keys."""
    return len({match[1] for key in shapes if (match := re.match(pattern, key))})


def _mpr_net_config(shapes: Shapes) -> dict[str, Any]:
    features, bands, _, _ = shapes["shallow_feat1.0.weight"]
    return dict(
        type="MPRNet",
        bands=bands,
        features=features,
        level_step=shapes["stage1_encoder.down12.down.1.weight"][0] - features,
        full_step=shapes["tail.weight"][1] - features,
        full_blocks=_count(shapes, r"stage3_orsnet\.orb1\.body\.(\d+)\.CA\."),
        reduction=features // shapes["shallow_feat1.1.CA.conv_du.0.weight"][0],
    )


MPR_NET = Kind(
    signature="shallow_feat1.0.weight",
    config_of=_mpr_net_config,
    unused=None,
    rules=(
        (r"^shallow_feat(\d)\.", _less_one("shallow.{}.")),
        (r"^stage(\d)_encoder\.", _less_one("encoders.{}.")),
        (r"^stage(\d)_decoder\.", _less_one("decoders.{}.")),
        (r"\.(?:encoder|decoder)_level(\d)\.", _less_one(".levels.{}.")),
        (r"\.skip_attn(\d)\.", _less_one(".skips.{}.")),
        (r"\.csff_enc(\d)\.", _less_one(".cross.{}.from_encoder.0.")),
        (r"\.csff_dec(\d)\.", _less_one(".cross.{}.from_decoder.0.")),
        (r"\.down(\d)\d\.down\.1\.", _less_one(".downs.{}.conv.")),
        (r"\.up\d(\d)\.up\.1\.", _less_one(".ups.{}.conv.")),
        (r"^stage3_orsnet\.orb(\d)\.body\.", _less_one("full_resolution.groups.{}.")),
        # The path of level n from 1: n - 1 enlargements, then a convolution.
        (r"^stage3_orsnet\.conv_enc(\d)\.", _less_one("full_resolution.cross.{0}.from_encoder.{0}.")),
        (r"^stage3_orsnet\.conv_dec(\d)\.", _less_one("full_resolution.cross.{0}.from_decoder.{0}.")),
        (r"^stage3_orsnet\.up_enc1\.up\.1\.", "full_resolution.cross.1.from_encoder.0.conv."),
        (r"^stage3_orsnet\.up_dec1\.up\.1\.", "full_resolution.cross.1.from_decoder.0.conv."),
        (r"^stage3_orsnet\.up_enc2\.(\d)\.up\.1\.", r"full_resolution.cross.2.from_encoder.\1.conv."),
        (r"^stage3_orsnet\.up_dec2\.(\d)\.up\.1\.", r"full_resolution.cross.2.from_decoder.\1.conv."),
        (r"^sam(\d)\d\.", _less_one("supervisions.{}.")),
        (r"^(supervisions\.\d)\.conv1\.", r"\1.features."),
        (r"^(supervisions\.\d)\.conv2\.", r"\1.residual."),
        (r"^(supervisions\.\d)\.conv3\.", r"\1.gate."),
        (r"^concat(\d)\d\.", _less_one("joins.{}.")),
        (r"\.CA\.conv_du\.0\.", ".attention.reduce."),
        (r"\.CA\.conv_du\.2\.", ".attention.expand."),
        (r"\.body\.0\.", ".conv1."),
        (r"\.body\.1\.", ".act."),
        (r"\.body\.2\.", ".conv2."),
    ),
)


def _msda_config(shapes: Shapes) -> dict[str, Any]:
    features, bands, _, _ = shapes["conv_in.weight"]
    return dict(
        type="MSDA",
        bands=bands,
        features=features,
        columns=shapes["coefficient"][1],
        layers=_count(shapes, r"rdb_in\.residual_dense_layers\.(\d+)\."),
        growth=shapes["rdb_in.residual_dense_layers.0.conv.weight"][0],
    )


MSDA = Kind(
    signature="rdb_in.conv_1x1_a.weight",
    config_of=_msda_config,
    # Layers that are never called, a coefficient that is never read, offsets for a convolution that is commented out.
    unused=(
        r"^offset_conv[12]\.(weight|bias)$"
        r"|^rdb_(in|out|2_1|1_1|module\.\d_\d)\.(coefficient$|(rt_residual_dense_layers\.\d+\.|conv_1x1_c\.|conv_a\.|conv_r\.))"
    ),
    rules=(
        (r"^coefficient$", "mixing"),
        (r"^rdb_module\.", "blocks."),
        (r"^downsample_module\.", "downs."),
        (r"^upsample_module\.", "ups."),
        (r"^rdb_in\.", "entry."),
        (r"^rdb_out\.", "exit."),
        (r"^conv(\d)(?:_atrous)?\.", _less_one("context.{}.")),
        (r"^upsamle1\.", "context_ups.1."),  # to row 1, half size; the official name is spelt so
        (r"^upsamle2\.", "context_ups.0."),
        (r"^rdb_2_1\.", "context_blocks.1."),
        (r"^rdb_1_1\.", "context_blocks.0."),
        (r"\.residual_dense_layers\.(\d+)\.conv\.", r".content.convs.\1."),
        (r"\.conv_1x1_a\.", ".content.project."),
        (r"\.residual_dense_layers_no_style\.(\d+)\.conv\.", r".structure.convs.\1."),
        (r"\.conv_1x1_b\.", ".structure.project."),
        (r"\.style\.", ".whole."),
        (r"\.conv_1x1_style\.", ".guide_reflected."),
        (r"\.conv_1x1_style_rt\.", ".guide_transmitted."),
        (r"\.conv_gamma_r\.", ".reflected_scale."),
        (r"\.conv_beta_r\.", ".reflected_shift."),
        (r"\.conv_gamma_t\.", ".transmitted_scale."),
        (r"\.conv_beta_t\.", ".transmitted_shift."),
        (r"\.conv_att_A\.", ".alpha."),
        (r"\.conv_att_B\.", ".beta."),
        (r"\.conv_1x1_final\.", ".merge."),
        (r"\.ca\.ca\.0\.", ".attention.reduce."),
        (r"\.ca\.ca\.2\.", ".attention.expand."),
    ),
)


def _unet_config(shapes: Shapes, prefix: str) -> dict[str, Any]:
    """Return base, multipliers, blocks and attention of one U-Net; its heads leave no trace in the shapes."""
    base = shapes[f"{prefix}input_blocks.0.0.weight"][0]
    multipliers: list[int] = []
    blocks = 1
    attention_at: list[int] = []
    for index in range(1, _count(shapes, rf"{re.escape(prefix)}input_blocks\.(\d+)\.")):
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

KINDS = {"mpr_net": MPR_NET, "msda": MSDA, "de": DE}
