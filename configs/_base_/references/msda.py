_base_ = ["../stages/collection.py"]
model = dict(reference=dict(type="MSDA"))

# Half of their weight, twice their beta. Their critic's slope is bounded for the sum of 4,096 outputs whose mean is the
# loss; ours for the mean.
reference_stages = [
    dict(
        _base_._collection_stage,
        losses=[
            dict(type="SmoothL1", beta=2.0, weight=1.2 / 2),
            dict(type="Perceptual", normalise=False, weight=0.04),
        ],
        discriminator=dict(type="PatchDiscriminator"),
        adversarial_loss=dict(type="WassersteinGAN", weight=0.05 / 2 / 4096),
        gradient_penalty=10.0,
    ),
]
