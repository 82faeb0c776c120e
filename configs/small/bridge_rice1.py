# RICE1 at 256x256 on a CPU: every image of the train list is trained on, none is held out for validation.
_base_ = ["../_base_/runtime.py", "../_base_/models/bridge_small.py", "../_base_/stages/bridge_small.py"]
datamodule = dict(type="RICE", root="data/rice1", version=1, val=None)
precision = "auto"
checkpoint_interval = 100
ema = dict(decay=0.998)
