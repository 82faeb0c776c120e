# Simulated clouds over UC Merced alone, which the prior has seen too, on a CPU.
_base_ = ["../_base_/runtime.py", "../_base_/models/bridge_small.py", "../_base_/stages/small.py"]
datamodule = dict(
    type="CloudedImages",
    root="data/ucmerced",
    split="folders",
    size=256,
    val=0.04,
    cloud_masks="data/oncloudn/*_mask.tif",
    shares=dict(thin=2, thick=1, masks=1),
)
checkpoint_interval = 200
ema = dict(decay=0.99)
num_workers = 1
stages = _base_._denoiser
