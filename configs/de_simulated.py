# Minutes on two CPU cores, no download: what `make demo` trains.
_base_ = ["_base_/runtime.py", "_base_/models/de_small.py"]
datamodule = dict(type="Simulated", size=128, cloud="thin", train=256, val=8, test=24)
amp = True
num_workers = 1
ema = dict(decay=0.99)
val = dict(images=4, panels=2, tile=128, overlap=32)

_turns = ["RandomHorizontalFlip", "RandomVerticalFlip"]
_optimizer = dict(type="AdamW", betas=(0.9, 0.99), weight_decay=1e-4)


def _falling(iterations):
    return [dict(type="CosineAnnealingLR", T_max=iterations, eta_min=1e-5, by_epoch=False)]


_shared = dict(augmentations=_turns, optimizer=_optimizer, clip_grad=1.0)
stages = [
    dict(
        name="reference",
        train=["reference"],
        iterations=600,
        batch_size=8,
        lr=2e-3,
        crop=64,
        param_scheduler=_falling(600),
        **_shared,
    ),
    dict(
        name="coarse",
        train=["denoiser"],
        iterations=400,
        batch_size=16,
        lr=2e-3,
        reduce=4,
        param_scheduler=_falling(400),
        **_shared,
    ),
    dict(
        name="fusion",
        train=["fusion"],
        iterations=150,
        batch_size=16,
        lr=1e-3,
        reduce=4,
        param_scheduler=_falling(150),
        **_shared,
    ),
    dict(
        name="fine",
        train=["denoiser", "fusion"],
        iterations=300,
        batch_size=8,
        lr=1e-3,
        crop=64,
        param_scheduler=_falling(300),
        **_shared,
    ),
]
