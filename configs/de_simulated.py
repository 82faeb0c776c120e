# Minutes on two CPU cores, no download: what `make demo-train` trains.
_base_ = ["_base_/runtime.py", "_base_/models/de_small.py"]
datamodule = dict(type="Simulated", size=128, cloud="thin", train=256, val=8, test=24)
precision = "auto"
checkpoint_interval = 100
num_workers = 1
ema = dict(decay=0.99)
val = dict(images=4, panels=2, tile=128, overlap=32)


def _stage(name, train, iterations, **own):
    return dict(
        name=name,
        train=train,
        iterations=iterations,
        augmentations=["RandomHorizontalFlip", "RandomVerticalFlip"],
        optimizer=dict(type="AdamW", betas=(0.9, 0.99), weight_decay=1e-4),
        clip_grad=1.0,
        param_scheduler=[dict(type="CosineAnnealingLR", T_max=iterations, eta_min=1e-5, by_epoch=False)],
        **own,
    )


stages = [
    _stage("reference", ["reference"], 350, batch_size=8, lr=2e-3, crop=64),
    _stage("coarse", ["denoiser"], 300, batch_size=16, lr=2e-3, reduce=4, crop=32),
    _stage("middle", ["denoiser"], 250, batch_size=8, lr=1.5e-3, crop=64),
    _stage("fusion", ["fusion"], 100, batch_size=16, lr=1e-3, reduce=2, crop=32),
    _stage("fine", ["denoiser", "fusion"], 100, batch_size=8, lr=7e-4, crop=64),
]
