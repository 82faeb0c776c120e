"""CVAE's official files."""

import math
from typing import Any

from declouds.weights.kinds.kind import Kind, Shapes, count, less_one


def _cvae_config(shapes: Shapes) -> dict[str, Any]:
    width, _, patch, _ = shapes["encoder.patch_embedding.patch_embedding.weight"]
    _, places, _ = shapes["encoder.patch_embedding.position_embeddings"]
    return dict(
        type="CVAE",
        bands=shapes["decoder.layer5.4.weight"][0],
        latent=shapes["encoder.mu.weight"][0],
        size=patch * math.isqrt(places - 2),  # two places are those of the tokens for mean and log variance
        width=width,
        depth=count(shapes, r"encoder\.encoder\.layers\.(\d+)\."),
        features=shapes["decoder.layer1.0.weight"][0],
    )


CVAE = Kind(
    signature="encoder.patch_embedding.mu_tokens",
    config_of=_cvae_config,
    unused=None,
    rules=(
        (r"^encoder\.patch_embedding\.patch_embedding\.", "encoder.patches."),
        (r"^encoder\.patch_embedding\.mu_tokens$", "encoder.mean_token"),
        (r"^encoder\.patch_embedding\.log_var_tokens$", "encoder.log_variance_token"),
        (r"^encoder\.patch_embedding\.position_embeddings$", "encoder.positions"),
        (r"^encoder\.encoder\.layers\.", "encoder.layers."),
        (r"\.attn_norm\.", ".norm1."),
        (r"\.attn\.qkv\.", ".self_attn.in_proj_"),
        (r"\.attn\.out\.", ".self_attn.out_proj."),
        (r"\.mlp_norm\.", ".norm2."),
        (r"\.mlp\.fc(\d)\.", r".linear\1."),
        (r"^encoder\.encoder\.encoder_norm\.", "encoder.norm."),
        (r"^encoder\.mu\.", "encoder.mean."),
        (r"^encoder\.log_var\.", "encoder.log_variance."),
        (r"^decoder\.fc(\d)\.", less_one("decoder.to_map.{}.")),
        (r"^decoder\.layer5\.4\.", "decoder.tail."),
        (r"^decoder\.layer(\d)\.", less_one("decoder.levels.{}.")),
        (r"^decoder\.up(\d)\.", less_one("decoder.ups.{}.")),
        (r"^decoder\.attn_layer(\d)\.", less_one("decoder.attentions.{}.")),
        (r"\.channel_attn\.0\.", ".reduce."),
        (r"\.channel_attn\.2\.", ".expand."),
    ),
)
