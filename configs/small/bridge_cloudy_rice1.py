# A bridge from the cloudy image instead of the prior, whose weights the denoiser starts from, on RICE1.
_base_ = ["bridge_rice1.py"]
model = dict(noise_schedule=dict(endpoint="cloudy"))
