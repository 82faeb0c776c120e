# A bridge from the prior for two CPU cores. The prior is the general model's; the denoiser has patches of 2 pixels:
# with 4 the noise of each pixel cannot be held and stays in the result.
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
        predicts="edm",
        takes_prior=True,
    ),
    noise_schedule=dict(type="StraightPath", endpoint="prior", noise=0.03, data_std=0.2),
    sampler=dict(type="DDIM", steps=2),
)
reference_weights = "general"  # or "train", with stages of its own
