# The reference of bridge_rice2 alone, trained for the minutes of both of its networks.
_base_ = ["bridge_rice2.py"]
model = dict(_delete_=True, type="OnePass", reference=_base_.model.reference)
stages = [*_base_._reference, *_base_._reference_again]
