# Coarse to fine. The method's authors publish neither iterations nor the batch at 256: those are ours.
stages = [
    dict(
        name="coarse",
        train=["denoiser"],
        iterations=200_000,
        batch_size=64,
        lr=1e-5,
        reduce=4,
        crop=64,
        val_interval=20_000,
    ),
    dict(
        name="fusion",
        train=["fusion"],
        iterations=20_000,
        batch_size=64,
        lr=1e-5,
        reduce=4,
        crop=64,
        val_interval=5_000,
    ),
    dict(
        name="fine",
        train=["denoiser", "fusion"],
        iterations=50_000,
        batch_size=8,
        lr=1e-5,
        crop=256,
        val_interval=5_000,
    ),
]
