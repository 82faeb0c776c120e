model = dict(reference=dict(type="TemporalUNet", dates=2))

# Optimiser, learning rate and batch as UnCRtainTS's authors give them for SEN12MS-CR-TS; the loss without their
# uncertainty, crops and iterations are ours.
reference_stages = [
    dict(
        name="reference",
        train=["reference"],
        iterations=200_000,
        batch_size=4,
        lr=1e-3,
        crop=128,
        losses=[dict(type="L1")],
        augmentations=["RandomHorizontalFlip", "RandomVerticalFlip"],
        optimizer=dict(type="Adam"),
        val_interval=20_000,
    ),
]
