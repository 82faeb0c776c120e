# For two CPU cores. Reduced images first: the tint of a veil is seen in a whole image, not in a patch.
_turns = ["RandomHorizontalFlip", "RandomVerticalFlip", dict(type="RandomRotation90", times=(0, 3), p=1.0)]
_optimizer = dict(type="AdamW", betas=(0.9, 0.99), weight_decay=1e-4)


def _cosine(iterations):
    return [
        dict(type="LinearLR", start_factor=0.05, by_epoch=False, begin=0, end=50),
        dict(type="CosineAnnealingLR", T_max=iterations - 50, eta_min=1e-6, by_epoch=False, begin=50, end=iterations),
    ]


stages = [
    dict(
        name="reference_coarse",
        train=["reference"],
        iterations=1000,
        batch_size=8,
        lr=1.5e-3,
        reduce=2,
        augmentations=_turns,
        optimizer=_optimizer,
        clip_grad=1.0,
        param_scheduler=_cosine(1000),
    ),
    dict(
        name="reference_fine",
        train=["reference"],
        iterations=500,
        batch_size=2,
        lr=4e-4,
        augmentations=_turns,
        optimizer=_optimizer,
        clip_grad=1.0,
        param_scheduler=_cosine(500),
    ),
    dict(
        name="coarse",
        train=["denoiser"],
        iterations=900,
        batch_size=16,
        lr=1.5e-3,
        reduce=4,
        augmentations=_turns,
        optimizer=_optimizer,
        clip_grad=1.0,
        param_scheduler=_cosine(900),
    ),
    dict(
        name="fusion",
        train=["fusion"],
        iterations=300,
        batch_size=16,
        lr=1e-3,
        reduce=4,
        augmentations=_turns,
        optimizer=_optimizer,
        clip_grad=1.0,
        param_scheduler=_cosine(300),
    ),
    dict(
        name="fine",
        train=["denoiser", "fusion"],
        iterations=250,
        batch_size=2,
        lr=4e-4,
        augmentations=_turns,
        optimizer=_optimizer,
        clip_grad=1.0,
        param_scheduler=_cosine(250),
    ),
]
