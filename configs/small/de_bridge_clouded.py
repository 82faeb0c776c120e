# DE on bridge_clouded: its process ends in the prior, which is fused at every step as well; on simulated clouds.
_base_ = ["bridge_clouded.py"]
model = dict(
    fusion=dict(type="WeightAllocation", base=24, multipliers=(1, 2, 2), blocks=1, attention_at=(), patch=4),
    eta=0.0,
)
stages = _base_._de_naf_folded
