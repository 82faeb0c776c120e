# Does it pay to start on reduced images? Both see as many pixels: 825 times two whole images hold what half of the
# three stages of the small denoiser do. The curves are of the denoiser alone, on test images, and choose nothing.
about = "Does it pay to train on reduced images first?"
base = "../small/de_rice1.py"
overrides = {"model.reference": None, "model.fusion": None, "datamodule.val": "test", "val": dict(images=4, panels=1)}


def _stage(name, iterations, val_interval, **own):
    return dict(
        name=name,
        train=["denoiser"],
        iterations=iterations,
        val_interval=val_interval,
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


axes = dict(
    stages={
        "coarse-to-fine": [
            _stage("coarse", 450, 225, batch_size=16, lr=1.5e-3, reduce=4),
            _stage("middle", 400, 200, batch_size=8, lr=1e-3, reduce=2),
            _stage("fine", 200, 100, batch_size=2, lr=4e-4),
        ],
        "full-size": [_stage("full", 825, 165, batch_size=2, lr=1e-3)],
    }
)
baseline = "full-size"
