# A bridge from the prior for two CPU cores. The prior is the general model's. The denoiser says what has to be changed
# in it, with a gain: so no detail of it, and no noise of x_t, has to pass through the network.
_base_ = ["general.py"]
model = dict(
    _delete_=True,
    type="DiffusionEnhancement",
    reference=_base_.model.reference,
    denoiser=dict(
        type="NAFDenoiser",
        width=24,
        patch=2,
        encoder_blocks=(1, 1, 2, 4),
        middle_blocks=1,
        decoder_blocks=(1, 1, 1, 1),
        predicts="residual",
        takes_prior=True,
        gain=True,
    ),
    noise_schedule=dict(type="StraightPath", endpoint="prior", noise=0.03),
    sampler=dict(type="DDIM", steps=2),
)
reference_weights = "general"  # or "train", with stages of its own
