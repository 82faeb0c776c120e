model = dict(reference=dict(type="CVAE"))

# 200 epochs of 2 whole images, as in the collection of Diffusion Enhancement's authors: 44,800 iterations of CUHK-CR2.
# Their images are in [0, 1], ours in [-1, 1]: half of their weight, twice their beta, give the same loss.
# They sum the divergence over the images of a batch; ours is their mean.
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
            dict(type="SmoothL1", beta=2 * 0.5, weight=1 / 2),
            dict(type="Laplacian", weight=0.18 / 2),
            dict(type="KL", of="latent", weight=0.01 * 2),
        ],
        optimizer=dict(type="Adam", betas=(0.5, 0.999), weight_decay=1e-5),
        val_interval=5_000,
    ),
]
