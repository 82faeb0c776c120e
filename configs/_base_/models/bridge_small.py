# A bridge from the prior that trains on two CPU cores: reference and denoiser are NAFNets of 2.4 M parameters.
model = dict(
    type="DiffusionEnhancement",
    reference=dict(type="NAFNet", width=16, encoder_blocks=(1, 1, 2, 4), gain=True),
    denoiser=dict(type="NAFDenoiser", width=16, encoder_blocks=(1, 1, 2, 4), predicts="edm", takes_prior=True),
    noise_schedule=dict(type="StraightPath", endpoint="prior", noise=0.1, data_std=0.15),
    sampler=dict(type="DDIM", steps=2),
)
reference_weights = "train"  # or the path of a weights file
