# What a reference gives, alone and under DE, on a small budget: `configs/ablations/reference_models.py` puts others in.
_base_ = ["../_base_/runtime.py", "../_base_/models/de_small.py"]
datamodule = dict(type="RICE", root="data/rice1", version=1, val=None)
precision = "auto"
checkpoint_interval = 100
ema = dict(decay=0.99)
denoiser_weights = "work_dirs/small_rice1/model.safetensors"  # one denoiser for all: that of small/de_rice1.py


def _stage(name, iterations, lr):
    return dict(
        name=name,
        train=[name],
        iterations=iterations,
        batch_size=2,
        lr=lr,
        crop=128,
        clip_grad=1.0,
        augmentations=[
            "RandomHorizontalFlip",
            "RandomVerticalFlip",
            dict(type="RandomRotation90", times=(0, 3), p=1.0),
        ],
        optimizer=dict(type="AdamW", betas=(0.9, 0.99), weight_decay=1e-4),
        param_scheduler=[dict(type="CosineAnnealingLR", T_max=iterations, eta_min=1e-6, by_epoch=False)],
    )


reference_stages = [_stage("reference", 300, 5e-4)]
stages = [_stage("fusion", 150, 1e-3)]
