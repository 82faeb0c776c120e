# Half an hour on two CPU cores. Reduced images first: the tint of a veil is seen in a whole image, not in a patch.
def _stage(name, train, iterations, **own):
    return dict(
        name=name,
        train=train,
        iterations=iterations,
        augmentations=[
            "RandomHorizontalFlip",
            "RandomVerticalFlip",
            dict(type="RandomRotation90", times=(0, 3), p=1.0),
        ],
        optimizer=dict(type="AdamW", betas=(0.9, 0.99), weight_decay=1e-4),
        clip_grad=1.0,
        param_scheduler=[
            dict(type="LinearLR", start_factor=0.05, by_epoch=False, begin=0, end=30),
            dict(
                type="CosineAnnealingLR", T_max=iterations - 30, eta_min=1e-6, by_epoch=False, begin=30, end=iterations
            ),
        ],
        **own,
    )


_reference = [
    _stage("reference_coarse", ["reference"], 300, batch_size=8, lr=1.5e-3, reduce=2),
    _stage("reference_fine", ["reference"], 100, batch_size=2, lr=4e-4),
]
# As long as a denoiser: to compare methods that have had the same time.
_reference_again = [
    _stage("reference_again", ["reference"], 450, batch_size=8, lr=1e-3, reduce=2),
    _stage("reference_last", ["reference"], 120, batch_size=2, lr=4e-4),
]
_fusion = [
    _stage("fusion", ["fusion"], 60, batch_size=4, lr=1e-3, reduce=2),
    _stage("fusion_fine", ["fusion"], 40, batch_size=2, lr=4e-4),
]
stages = [
    *_reference,
    _stage("coarse", ["denoiser"], 400, batch_size=16, lr=1.5e-3, reduce=4),
    _stage("middle", ["denoiser"], 250, batch_size=8, lr=1e-3, reduce=2),
    _stage("fine", ["denoiser"], 120, batch_size=2, lr=4e-4),
]
