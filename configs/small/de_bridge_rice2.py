# DE on bridge_rice2: its process ends in the prior, which is fused at every step as well; on RICE2.
_base_ = ["bridge_rice2.py"]
model = dict(
    fusion=dict(type="WeightAllocation", base=24, multipliers=(1, 2, 2), blocks=1, attention_at=(), patch=4),
    eta=0.0,
)
stages = _base_._de_naf_folded
