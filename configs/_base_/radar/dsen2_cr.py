# Published: blocks, features, batch, patches and learning rate (Nadam there). The iterations and the plain L1 are ours:
# the published loss also keeps clear pixels, by a cloud mask.
model = dict(reference=dict(type="DSen2CR"))
reference_stages = [
    dict(
        name="reference",
        train=["reference"],
        iterations=60_000,
        batch_size=16,
        lr=7e-5,
        crop=128,
        losses=[dict(type="L1")],
        augmentations=["RandomHorizontalFlip", "RandomVerticalFlip"],
        optimizer=dict(type="NAdam"),
        val_interval=5_000,
    ),
]
