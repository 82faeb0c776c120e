# A bridge from the prior that trains on two CPU cores: a step costs a third of that of de_small.
model = dict(
    type="DiffusionEnhancement",
    denoiser=dict(type="NAFDenoiser", width=16, encoder_blocks=(1, 1, 2, 4), predicts="edm"),
    reference=dict(type="GainOffsetUNet", base=24, multipliers=(1, 2, 3, 4)),
    noise_schedule=dict(type="StraightPath", endpoint="prior", noise=0.1, data_std=0.15),
    sampler=dict(type="DDIM", steps=5),
)
reference_weights = "train"  # or the path of a weights file
