"""AMGAN-CR's official files."""

from typing import Any

from declouds.weights.kinds.kind import Kind, Shapes, count, less_one


def _amgan_cr_config(shapes: Shapes) -> dict[str, Any]:
    bands, features, _, _ = shapes["conv_out.0.weight"]
    return dict(
        type="AMGANCR", bands=bands, features=features, recurrent_blocks=count(shapes, r"det_conv([1-9]\d*)\.0\.weight")
    )


AMGAN_CR = Kind(
    signature="det_conv_mask.0.weight",
    config_of=_amgan_cr_config,
    unused=r"^res_block6\.",  # never called
    rules=(
        (r"^det_conv0\.0\.", "attention.entry."),
        (r"^det_conv(\d+)\.0\.", less_one("attention.blocks.{}.conv1.")),
        (r"^det_conv(\d+)\.2\.", less_one("attention.blocks.{}.conv2.")),
        (r"^det_conv_mask\.0\.", "attention.to_attention."),
        (r"^conv_i\.0\.", "attention.input_gate."),
        (r"^conv_f\.0\.", "attention.forget_gate."),
        (r"^conv_g\.0\.", "attention.candidate."),
        (r"^conv_o\.0\.", "attention.output_gate."),
        (r"^conv_in\.0\.", "entry."),
        (r"^conv_ins\.0\.", "guided_entry."),
        (r"^conv_out\.0\.", "tail."),
        (r"^res_block([123])\.", less_one("guided.{}.")),
        (r"^res_block4\.", "plain.0."),
        (r"^res_block5\.", "plain.1."),
        (r"\.group1\.conv1\.", ".0."),
        (r"\.group1\.conv2\.", ".2."),
        (r"\.group1\.conv3\.", ".4."),
    ),
)
