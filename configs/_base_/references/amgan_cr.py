_base_ = ["../stages/collection.py"]
model = dict(reference=dict(type="AMGANCR"))
reference_stages = [
    dict(
        _base_._collection_stage,
        losses=[
            dict(type="L1", weight=10 / 2),
            dict(type="MSE", of="attention", weight=10.0),
        ],
        discriminator=dict(type="PatchDiscriminator"),
        adversarial_loss=dict(type="SoftplusGAN", weight=0.1),
    ),
]
