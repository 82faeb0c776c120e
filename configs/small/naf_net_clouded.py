# The prior of bridge_clouded trained on for the minutes that others train a denoiser for.
_base_ = ["bridge_clouded.py"]
model = dict(_delete_=True, type="OnePass", reference=_base_.model.reference)
reference_weights = "train"
load_from = "general"
stages = _base_._reference_again
