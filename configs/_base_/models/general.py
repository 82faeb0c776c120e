# The network of the general model: patches of 4 pixels become channels, since veils and large clouds are smooth.
model = dict(
    type="OnePass",
    reference=dict(
        type="NAFNet",
        width=32,
        patch=4,
        encoder_blocks=(1, 2, 4),
        middle_blocks=4,
        decoder_blocks=(2, 1, 1),
        gain=True,
    ),
    any_units=True,
)
