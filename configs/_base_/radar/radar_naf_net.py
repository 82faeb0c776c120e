model = dict(reference=dict(type="RadarNAFNet"))

# Optimiser, learning rate and loss as NAFNet's authors have them on GoPro; patches and augmentations as for DSen2-CR.
# The iterations are ours.
reference_stages = [
    dict(
        name="reference",
        train=["reference"],
        iterations=60_000,
        batch_size=16,
        lr=1e-3,
        crop=128,
        losses=[dict(type="PSNR")],
        augmentations=["RandomHorizontalFlip", "RandomVerticalFlip"],
        optimizer=dict(type="AdamW", betas=(0.9, 0.9), weight_decay=0.0),
        clip_grad=0.01,
        param_scheduler=[dict(type="CosineAnnealingLR", T_max=60_000, eta_min=1e-7, by_epoch=False)],
        val_interval=5_000,
    ),
]
