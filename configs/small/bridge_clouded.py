# A bridge from the prior of the general model, fused with it: a quarter of an hour on one CPU core.
_base_ = ["../general.py"]
model = dict(
    _delete_=True,
    type="DiffusionEnhancement",
    reference=_base_.model.reference,
    denoiser=dict(type="NAFDenoiser", width=16, encoder_blocks=(1, 1, 2, 4), predicts="edm", takes_prior=True),
    noise_schedule=dict(type="StraightPath", endpoint="prior", noise=0.1, data_std=0.15),
    fusion=dict(type="WeightAllocation", base=12, multipliers=(1, 2, 2), blocks=1, attention_at=()),
    sampler=dict(type="DDIM", steps=2),
    eta=0.0,
    any_units=True,
)
reference_weights = "general"
stages = _base_._on_general
