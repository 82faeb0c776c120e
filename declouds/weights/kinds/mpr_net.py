"""MPRNet's official files."""

from typing import Any

from declouds.weights.kinds.kind import Kind, Shapes, count, less_one


def _mpr_net_config(shapes: Shapes) -> dict[str, Any]:
    features, bands, _, _ = shapes["shallow_feat1.0.weight"]
    return dict(
        type="MPRNet",
        bands=bands,
        features=features,
        level_step=shapes["stage1_encoder.down12.down.1.weight"][0] - features,
        full_step=shapes["tail.weight"][1] - features,
        full_blocks=count(shapes, r"stage3_orsnet\.orb1\.body\.(\d+)\.CA\."),
        reduction=features // shapes["shallow_feat1.1.CA.conv_du.0.weight"][0],
    )


MPR_NET = Kind(
    signature="shallow_feat1.0.weight",
    config_of=_mpr_net_config,
    unused=None,
    rules=(
        (r"^shallow_feat(\d)\.", less_one("shallow.{}.")),
        (r"^stage(\d)_encoder\.", less_one("encoders.{}.")),
        (r"^stage(\d)_decoder\.", less_one("decoders.{}.")),
        (r"\.(?:encoder|decoder)_level(\d)\.", less_one(".levels.{}.")),
        (r"\.skip_attn(\d)\.", less_one(".skips.{}.")),
        (r"\.csff_enc(\d)\.", less_one(".cross.{}.from_encoder.0.")),
        (r"\.csff_dec(\d)\.", less_one(".cross.{}.from_decoder.0.")),
        (r"\.down(\d)\d\.down\.1\.", less_one(".downs.{}.conv.")),
        (r"\.up\d(\d)\.up\.1\.", less_one(".ups.{}.conv.")),
        (r"^stage3_orsnet\.orb(\d)\.body\.", less_one("full_resolution.groups.{}.")),
        # The path of level n from 1: n - 1 enlargements, then a convolution.
        (r"^stage3_orsnet\.conv_enc(\d)\.", less_one("full_resolution.cross.{0}.from_encoder.{0}.")),
        (r"^stage3_orsnet\.conv_dec(\d)\.", less_one("full_resolution.cross.{0}.from_decoder.{0}.")),
        (r"^stage3_orsnet\.up_enc1\.up\.1\.", "full_resolution.cross.1.from_encoder.0.conv."),
        (r"^stage3_orsnet\.up_dec1\.up\.1\.", "full_resolution.cross.1.from_decoder.0.conv."),
        (r"^stage3_orsnet\.up_enc2\.(\d)\.up\.1\.", r"full_resolution.cross.2.from_encoder.\1.conv."),
        (r"^stage3_orsnet\.up_dec2\.(\d)\.up\.1\.", r"full_resolution.cross.2.from_decoder.\1.conv."),
        (r"^sam(\d)\d\.", less_one("supervisions.{}.")),
        (r"^(supervisions\.\d)\.conv1\.", r"\1.features."),
        (r"^(supervisions\.\d)\.conv2\.", r"\1.residual."),
        (r"^(supervisions\.\d)\.conv3\.", r"\1.gate."),
        (r"^concat(\d)\d\.", less_one("joins.{}.")),
        (r"\.CA\.conv_du\.0\.", ".attention.reduce."),
        (r"\.CA\.conv_du\.2\.", ".attention.expand."),
        (r"\.body\.0\.", ".conv1."),
        (r"\.body\.1\.", ".act."),
        (r"\.body\.2\.", ".conv2."),
    ),
)
