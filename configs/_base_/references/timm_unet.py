model = dict(reference=dict(type="TimmUNet"))

# Ours: no paper trains this network for clouds. As many patches as MPRNet gets.
reference_stages = [
    dict(
        name="reference",
        train=["reference"],
        iterations=50_000,
        batch_size=8,
        lr=3e-4,
        crop=256,
        losses=[dict(type="L1")],
        augmentations=[
            "RandomHorizontalFlip",
            "RandomVerticalFlip",
            dict(type="RandomRotation90", times=(0, 3), p=1.0),
        ],
        optimizer=dict(type="AdamW", betas=(0.9, 0.999), weight_decay=0.01),
        clip_grad=1.0,
        param_scheduler=[
            dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=1_000),
            dict(type="CosineAnnealingLR", T_max=49_000, eta_min=1e-6, by_epoch=False, begin=1_000, end=50_000),
        ],
        val_interval=5_000,
    ),
]
