# DE from noise, on the data and with the networks, reference and minutes of general.py, to compare with its bridge.
_base_ = ["../general.py"]
model = dict(
    denoiser=dict(predicts="clear", takes_prior=False),
    noise_schedule=dict(_delete_=True, type="LinearSchedule", num_steps=1000),
    sampler=dict(steps=5),
)
