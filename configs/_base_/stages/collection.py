# What the recipes of the collection of Diffusion Enhancement's authors share: 200 epochs of 2 whole images, as there;
# 44,800 iterations are those of CUHK-CR2. Their images are in [0, 1], ours in [-1, 1]: a difference counts twice here.
_collection_stage = dict(
    name="reference",
    train=["reference"],
    iterations=44_800,
    batch_size=2,
    lr=1e-4,
    crop=256,
    augmentations=[],
    optimizer=dict(type="Adam", betas=(0.5, 0.999), weight_decay=1e-5),
    val_interval=5_000,
)
