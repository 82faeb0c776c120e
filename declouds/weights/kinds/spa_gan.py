"""SpA-GAN's official generator files."""

from typing import Any

from declouds.weights.kinds.kind import Kind, Shapes, less_one


def _spa_gan_config(shapes: Shapes) -> dict[str, Any]:
    features, bands, _, _ = shapes["conv_in.0.weight"]
    return dict(type="SpAGAN", bands=bands, features=features)


SPA_GAN = Kind(
    signature="SAM1.irnn1.left_weight.weight",
    config_of=_spa_gan_config,
    # A convolution that is never called, and the weights of the directions, whose products are dropped.
    unused=r"^SAM1\.(conv_in\.weight|attention_layer\.conv[123]\.(weight|bias))$",
    rules=(
        (r"^conv_(in|out)\.0\.", r"conv_\1."),
        (r"^res_block(\d+)\.group1\.", less_one("blocks.{}.")),
        (r"^SAM1\.irnn(\d)\.", less_one("attention.looks.{}.")),
        (r"\.(up|right|down|left)_weight\.", r".\1."),
        (r"^SAM1\.conv1\.", "attention.entry."),
        (r"^SAM1\.conv2\.", "attention.merges.0."),
        (r"^SAM1\.conv3\.", "attention.merges.1."),
        (r"^SAM1\.conv_out\.", "attention.exit."),
    ),
    input_key="conv_in.weight",
    output_key="conv_out.weight",
)
