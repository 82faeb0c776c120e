_base_ = ["../stages/collection.py"]
model = dict(reference=dict(type="CVAE"))

# Half of their weight, twice their beta. They sum the divergence over the images of a batch; ours is their mean.
reference_stages = [
    dict(
        _base_._collection_stage,
        losses=[
            dict(type="SmoothL1", beta=2 * 0.5, weight=1 / 2),
            dict(type="Laplacian", weight=0.18 / 2),
            dict(type="KL", of="latent", weight=0.01 * 2),
        ],
    ),
]
