# Coarse to fine, without a fusion. Of no published recipe: the batches and sizes are those of DE.
_shared = dict(
    train=["denoiser"],
    optimizer=dict(type="AdamW", betas=(0.9, 0.99), weight_decay=1e-4),
    augmentations=["RandomHorizontalFlip", "RandomVerticalFlip"],
    clip_grad=1.0,
)
stages = [
    dict(name="coarse", iterations=100_000, batch_size=64, lr=3e-4, reduce=4, crop=64, val_interval=20_000, **_shared),
    dict(name="fine", iterations=50_000, batch_size=8, lr=1e-4, crop=256, val_interval=5_000, **_shared),
]
