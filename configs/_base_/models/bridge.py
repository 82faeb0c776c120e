# A bridge from the prior: a time-conditioned NAFNet takes what the reference gives on to the clear image in few steps.
# A config puts it together with a reference of references/, which brings its recipe: model = _base_._bridge
_bridge = dict(
    type="DiffusionEnhancement",
    denoiser=dict(
        type="NAFDenoiser",
        width=48,
        encoder_blocks=(2, 2, 4, 8),
        middle_blocks=4,
        decoder_blocks=(2, 2, 2, 2),
        predicts="residual",
        takes_prior=True,
        gain=True,
    ),
    noise_schedule=dict(type="StraightPath", endpoint="prior", noise=0.1),
    sampler=dict(type="DDIM", steps=5),
)
reference_weights = "train"  # or the path of a weights file
