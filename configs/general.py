# The weights that come with the package: RGB of any sensor, thin and thick cloud, trained on simulated clouds over free
# clear imagery alone (UC Merced and EuroSAT), in two hours on one CPU core.
_base_ = ["_base_/runtime.py"]
datamodule = dict(
    type="CloudedImages",
    root=["data/ucmerced/train", "data/eurosat_rgb/train"],
    size=128,
    upsample=True,
    cloud_masks="data/oncloudn/*_mask.tif",
    shares=dict(thin=0.42, thick=0.17, mixed=0.1, masks=0.13, clear=0.18),
    thickness=(0.05, 2.0),
    false_colour=0.2,
    other_sensors=0.6,
    coarser=0.4,
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
model = dict(
    type="OnePass",
    reference=dict(type="NAFNet", width=16, encoder_blocks=(1, 1, 2, 4), gain=True),
    any_units=True,
)
ema = dict(decay=0.998)
log_interval = 50
checkpoint_interval = 250
num_workers = 1


def _stage(name, train, iterations, **own):
    return dict(
        name=name,
        train=train,
        iterations=iterations,
        augmentations=[
            "RandomHorizontalFlip",
            "RandomVerticalFlip",
            dict(type="RandomRotation90", times=(0, 3), p=1.0),
        ],
        optimizer=dict(type="AdamW", betas=(0.9, 0.99), weight_decay=1e-4),
        clip_grad=1.0,
        param_scheduler=[
            dict(type="LinearLR", start_factor=0.05, by_epoch=False, begin=0, end=50),
            dict(
                type="CosineAnnealingLR", T_max=iterations - 50, eta_min=1e-6, by_epoch=False, begin=50, end=iterations
            ),
        ],
        **own,
    )


stages = [
    _stage("reference_coarse", ["reference"], 1200, batch_size=16, lr=2e-3, reduce=2),
    _stage("reference", ["reference"], 4000, batch_size=8, lr=1e-3),
]
# For what is built on these weights.
_on_top = [
    _stage("coarse", ["denoiser"], 350, batch_size=16, lr=1.5e-3, reduce=2),
    _stage("fine", ["denoiser"], 300, batch_size=8, lr=8e-4),
    _stage("fusion", ["fusion"], 70, batch_size=8, lr=1e-3),
]
