# A bridge from the cloudy image instead of the prior, which the network sees beside it, on RICE2.
_base_ = ["bridge_rice2.py"]
model = dict(noise_schedule=dict(endpoint="cloudy"))
