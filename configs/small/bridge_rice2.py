# RICE2 at 256x256 on a CPU. 15 % of the train list are held out to choose by.
_base_ = ["../_base_/runtime.py", "../_base_/models/bridge_small.py", "../_base_/stages/small.py"]
datamodule = dict(type="RICE", root="data/rice2", version=2, val=0.15)
checkpoint_interval = 200
ema = dict(decay=0.99)
stages = _base_._denoiser
