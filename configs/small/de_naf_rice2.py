# DE from noise, on RICE2, with the networks, prior and minutes of bridge_rice2.
_base_ = ["bridge_rice2.py"]
model = dict(
    noise_schedule=dict(_delete_=True, type="LinearSchedule", num_steps=1000),
    fusion=dict(type="WeightAllocation", base=12, multipliers=(1, 2, 2), blocks=1, attention_at=()),
    sampler=dict(steps=5),
    eta=0.0,
)
stages = _base_._de_naf
