# What the general model is trained on first: small windows, of which more fit into the same time. Three quarters of an
# hour on one CPU core.
_base_ = ["_base_/runtime.py", "_base_/models/general.py", "_base_/stages/small.py"]
datamodule = dict(
    type="CloudedImages",
    root=["data/ucmerced/train", "data/eurosat_rgb/train"],
    size=128,
    upsample=True,
    mosaic=0.6,
    cloud_masks="data/oncloudn/*_mask.tif",
    shares=dict(thin=0.42, thick=0.17, mixed=0.1, masks=0.13, clear=0.18),
    thickness=(0.05, 2.0),
    false_colour=0.2,
    other_sensors=0.6,
    coarser=0.6,
    val=0.04,
    test=None,
)
test_datamodule = dict(
    type="CloudedImages",
    root="data/ucmerced",
    split="folders",
    size=256,
    val=None,
    cloud_masks="data/oncloudn/*_mask.tif",
    shares=dict(thin=1, thick=1, masks=1),
)
ema = dict(decay=0.998)
log_interval = 50
checkpoint_interval = 250
num_workers = 1
stages = _base_._general_windows
