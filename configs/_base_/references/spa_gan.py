model = dict(reference=dict(type="SpAGAN"))

# 200 epochs of 2 whole images, as in the collection of Diffusion Enhancement's authors: 44,800 iterations of CUHK-CR2.
# Their images are in [0, 1], ours in [-1, 1]: half of their weight gives the same L1.
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
            dict(type="L1", weight=100 / 2),
            dict(type="MSE", of="attention"),
        ],
        discriminator=dict(type="PatchDiscriminator"),
        adversarial_loss=dict(type="SoftplusGAN"),
        optimizer=dict(type="Adam", betas=(0.5, 0.999), weight_decay=1e-5),
        val_interval=5_000,
    ),
]
