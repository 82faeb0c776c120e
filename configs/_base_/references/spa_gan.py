_base_ = ["../stages/collection.py"]
model = dict(reference=dict(type="SpAGAN"))
reference_stages = [
    dict(
        _base_._collection_stage,
        losses=[
            dict(type="L1", weight=100 / 2),
            dict(type="MSE", of="attention"),
        ],
        discriminator=dict(type="PatchDiscriminator"),
        adversarial_loss=dict(type="SoftplusGAN"),
    ),
]
