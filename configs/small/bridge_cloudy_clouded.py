# A bridge from the cloudy image instead of the prior, which the network sees beside it, on simulated clouds.
_base_ = ["bridge_clouded.py"]
model = dict(noise_schedule=dict(endpoint="cloudy"))
