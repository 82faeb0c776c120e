model = dict(reference=dict(type="MSDA"))

# 200 epochs of 2 whole images, as in the collection of Diffusion Enhancement's authors: 44,800 iterations of CUHK-CR2.
# Their images are in [0, 1], ours in [-1, 1]: half of their weight, twice their beta, give the same loss.
# Their critic's slope is bounded for the sum of 4,096 outputs whose mean is the loss; ours for the mean.
reference_stages = [
    dict(
        name="reference",
        train=["reference"],
        iterations=44_800,
        batch_size=2,
        lr=1e-4,
        crop=256,
        augmentations=[],
        losses=[
            dict(type="SmoothL1", beta=2.0, weight=1.2 / 2),
            dict(type="Perceptual", normalise=False, weight=0.04),
        ],
        discriminator=dict(type="PatchDiscriminator"),
        adversarial_loss=dict(type="WassersteinGAN", weight=0.05 / 2 / 4096),
        gradient_penalty=10.0,
        optimizer=dict(type="Adam", betas=(0.5, 0.999), weight_decay=1e-5),
        val_interval=5_000,
    ),
]
