"""MSDA-CR's official files."""

from typing import Any

from declouds.weights.kinds.kind import Kind, Shapes, count, less_one


def _msda_config(shapes: Shapes) -> dict[str, Any]:
    features, bands, _, _ = shapes["conv_in.weight"]
    return dict(
        type="MSDA",
        bands=bands,
        features=features,
        columns=shapes["coefficient"][1],
        layers=count(shapes, r"rdb_in\.residual_dense_layers\.(\d+)\."),
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
        (r"^conv(\d)(?:_atrous)?\.", less_one("context.{}.")),
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
