# DE from noise, with the data, networks, prior and minutes of bridge_clouded.py.
_base_ = ["bridge_clouded.py"]
model = dict(
    denoiser=dict(predicts="clear", takes_prior=False),
    noise_schedule=dict(_delete_=True, type="LinearSchedule", num_steps=1000),
    sampler=dict(steps=5),
)
