# A bridge from the cloudy image instead of the prior, whose weights the denoiser starts from, on simulated clouds.
_base_ = ["bridge_clouded.py"]
model = dict(noise_schedule=dict(endpoint="cloudy"))
