# A bridge from the prior for two CPU cores. The prior is the general model's, and the denoiser starts as the same
# network: from random weights it would know less after minutes than a prior that was trained for hours.
_base_ = ["general.py"]
_network = {key: value for key, value in _base_.model.reference.items() if key != "type"}
model = dict(
    _delete_=True,
    type="DiffusionEnhancement",
    reference=_base_.model.reference,
    denoiser=dict(type="NAFDenoiser", predicts="clear", from_reference=True, **_network),
    noise_schedule=dict(type="StraightPath", endpoint="prior", noise=0.03),
    sampler=dict(type="DDIM", steps=2),
)
reference_weights = "general"  # or "train", with stages of its own
