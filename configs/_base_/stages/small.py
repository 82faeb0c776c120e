# Stages of all small models, for two CPU cores. Reduced images first: the tint of a veil is seen in a whole image, not
# in a patch.
def _stage(name, train, iterations, warm_up=50, **own):
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
            dict(type="LinearLR", start_factor=0.05, by_epoch=False, begin=0, end=warm_up),
            dict(
                type="CosineAnnealingLR",
                T_max=iterations - warm_up,
                eta_min=1e-6,
                by_epoch=False,
                begin=warm_up,
                end=iterations,
            ),
        ],
        **own,
    )


# A fusion adds something where the two it fuses are of like quality: the denoiser is trained as long as the reference.
# The fusion comes last and alone, so that experiments with other fusions train nothing else.
_de = [
    _stage("reference_coarse", ["reference"], 1000, batch_size=8, lr=1.5e-3, reduce=2),
    _stage("reference_fine", ["reference"], 500, batch_size=2, lr=4e-4),
    _stage("coarse", ["denoiser"], 900, batch_size=16, lr=1.5e-3, reduce=4),
    _stage("middle", ["denoiser"], 800, batch_size=8, lr=1e-3, reduce=2),
    _stage("fine", ["denoiser"], 400, batch_size=2, lr=4e-4),
    _stage("fusion", ["fusion"], 150, batch_size=4, lr=1e-3, reduce=2),
    _stage("fusion_fine", ["fusion"], 75, batch_size=2, lr=4e-4),
]

# Six minutes on one core, with a prior that is trained already: a denoiser, DE's with its fusion, or the prior itself.
_denoiser = [
    _stage("coarse", ["denoiser"], 500, batch_size=8, lr=1e-3, reduce=2),
    _stage("fine", ["denoiser"], 110, 20, batch_size=4, lr=5e-4),
]
_de_naf = [
    _stage("coarse", ["denoiser"], 460, batch_size=8, lr=1e-3, reduce=2),
    _stage("fine", ["denoiser"], 85, 20, batch_size=4, lr=5e-4),
    _stage("fusion", ["fusion"], 50, 20, batch_size=4, lr=1e-3, reduce=2),
]
# With a Weight Allocation on folded pixels, whose iterations cost little.
_de_naf_folded = [*_de_naf[:2], _stage("fusion", ["fusion"], 150, 20, batch_size=4, lr=1e-3, reduce=2)]
_reference_again = [
    _stage("again_coarse", ["reference"], 800, batch_size=8, lr=1e-3, reduce=2),
    _stage("again_fine", ["reference"], 160, 20, batch_size=4, lr=5e-4),
]

# The general model. L1 alone is slow to bring back the contrast under dense veils, and does not mind the colour of dark
# ground.
_general_windows = [_stage("windows", ["reference"], 4200, 200, batch_size=16, lr=1.5e-3)]
_general = [
    _stage(
        "images",
        ["reference"],
        3000,
        200,
        batch_size=8,
        lr=6e-4,
        losses=[dict(type="L1"), dict(type="RootL1"), dict(type="SSIM", reduce=4, weight=0.4)],
    )
]

# With other dates, of which few pairs of many bands are made.
_dates = [
    _stage("denoiser", ["denoiser"], 200, 20, batch_size=8, lr=2e-3, crop=64),
    _stage("fusion", ["fusion"], 20, 5, batch_size=8, lr=2e-3, crop=64),
]
_dates_reference = [_stage("reference", ["reference"], 1500, 50, batch_size=8, lr=1.5e-3, crop=64)]

# With radar, of which few pairs of many bands are at hand.
_radar = [_stage("reference", ["reference"], 500, 25, batch_size=8, lr=1e-3, crop=64)]
