# Which noise schedule, and what for a target? The denoiser is trained for each.
about = "Which noise schedule, and which target of the denoiser?"
base = "../small/de_rice1.py"
axes = {
    "noise_schedule": dict(linear=dict(type="LinearSchedule"), cosine=dict(type="CosineSchedule")),
    "model.denoiser.predicts": ["clear", "noise", "velocity"],
}
baseline = "noise_schedule=linear,model.denoiser.predicts=clear"
