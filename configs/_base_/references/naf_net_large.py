model = dict(reference=dict(type="NAFNet", width=64))

# Optimiser, learning rate, loss, batch and augmentations as NAFNet's authors have them on GoPro, for width 64.
# The iterations are ours: as many as for width 32.
reference_stages = [
    dict(
        name="reference",
        train=["reference"],
        iterations=12_500,
        batch_size=64,
        lr=1e-3,
        crop=256,
        losses=[dict(type="PSNR")],
        augmentations=[
            "RandomHorizontalFlip",
            "RandomVerticalFlip",
            dict(type="RandomRotation90", times=(0, 3), p=1.0),
        ],
        optimizer=dict(type="AdamW", betas=(0.9, 0.9), weight_decay=1e-3),
        clip_grad=0.01,
        param_scheduler=[dict(type="CosineAnnealingLR", T_max=12_500, eta_min=1e-7, by_epoch=False)],
        val_interval=2_500,
    ),
]
