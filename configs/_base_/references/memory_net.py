model = dict(reference=dict(type="MemoryNet"))

# MemoryNet's own code: 250 epochs of 16 patches, 3 of them to warm up. 8,344 iterations are 250 epochs of CUHK-CR1.
reference_stages = [
    dict(
        name="reference",
        train=["reference"],
        iterations=8_344,
        batch_size=16,
        lr=2e-4,
        crop=256,
        losses=[dict(type="Charbonnier", epsilon=2e-3), dict(type="Edge", epsilon=2e-3, weight=0.05)],
        augmentations=["RandomHorizontalFlip", "RandomVerticalFlip"],
        optimizer=dict(type="Adam", betas=(0.9, 0.999)),
        param_scheduler=[
            dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=100),
            dict(type="CosineAnnealingLR", T_max=8_244, eta_min=1e-6, by_epoch=False, begin=100, end=8_344),
        ],
        val_interval=1_000,
    ),
]
