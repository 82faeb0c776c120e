model = dict(reference=dict(type="NAFNet"))

# Optimiser, learning rate, loss, batch and augmentations as NAFNet's authors have them on GoPro, for width 32.
# The iterations are ours: as many patches as MPRNet gets.
reference_stages = [
    dict(
        name="reference",
        train=["reference"],
        iterations=12_500,
        batch_size=32,
        lr=1e-3,
        crop=256,
        losses=[dict(type="PSNR")],
        augmentations=[
            "RandomHorizontalFlip",
            "RandomVerticalFlip",
            dict(type="RandomRotation90", times=(0, 3), p=1.0),
        ],
        optimizer=dict(type="AdamW", betas=(0.9, 0.9), weight_decay=0.0),
        clip_grad=0.01,
        param_scheduler=[dict(type="CosineAnnealingLR", T_max=12_500, eta_min=1e-7, by_epoch=False)],
        val_interval=2_500,
    ),
]
