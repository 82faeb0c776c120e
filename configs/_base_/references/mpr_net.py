model = dict(reference=dict(type="MPRNet"))

# Optimiser, learning rate, patch and losses as MPRNet's authors have them; iterations and batch are ours.
reference_stages = [
    dict(
        name="reference",
        train=["reference"],
        iterations=50_000,
        batch_size=8,
        lr=2e-4,
        crop=256,
        losses=[dict(type="Charbonnier", epsilon=2e-3), dict(type="Edge", epsilon=2e-3, weight=0.05)],
        augmentations=["RandomHorizontalFlip", "RandomVerticalFlip"],
        optimizer=dict(type="Adam", betas=(0.9, 0.999)),
        param_scheduler=[dict(type="CosineAnnealingLR", T_max=50_000, eta_min=1e-6, by_epoch=False)],
        val_interval=5_000,
    ),
]
