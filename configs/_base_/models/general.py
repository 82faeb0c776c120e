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
    leave_flat=(0.04, 0.06),  # sea, sand: haze and bright ground look the same there
    any_units=True,
)
