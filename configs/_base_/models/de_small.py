# A DE that trains on two CPU cores. A small denoiser does better when it predicts the clear image.
model = dict(
    type="DiffusionEnhancement",
    denoiser=dict(
        type="ConditionalUNet", base=24, multipliers=(1, 2, 3, 4), blocks=1, attention_at=(8,), predicts="clear"
    ),
    reference=dict(type="GainOffsetUNet", base=24, multipliers=(1, 2, 3, 4)),
    fusion=dict(type="WeightAllocation", base=12, multipliers=(1, 2, 2), blocks=1, attention_at=()),
    noise_schedule=dict(type="LinearSchedule", num_steps=1000),
    sampler=dict(type="DDIM", steps=10),
    eta=0.3,
)
reference_weights = "train"  # or the path of a weights file
