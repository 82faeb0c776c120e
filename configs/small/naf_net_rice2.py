# The prior of bridge_rice2 trained on for the minutes that others train a denoiser for.
_base_ = ["bridge_rice2.py"]
model = dict(_delete_=True, type="OnePass", reference=_base_.model.reference)
reference_weights = "train"
load_from = "general"
stages = _base_._reference_again
