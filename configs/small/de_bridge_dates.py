# DE on a bridge from other dates: it starts from their composite, which is fused too, and corrects what has changed
# since. tools/dates_of_one_place.py makes the data of a folder of dates. Clouds are known by their masks.
_base_ = ["../_base_/runtime.py", "../_base_/stages/small.py"]
datamodule = dict(
    type="PairedFolder",
    root="data/dates",
    split="folders",
    value_range=(0, 10000),
    band_names=("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12"),
    mask="mask",
    sources=dict(
        image_cloud=dict(folder="mask", kind="cloud", value_range=(0, 1)),
        dates=["before", "after"],
    ),
    drop=dict(before=0.1, after=0.1),
)
model = dict(
    type="DiffusionEnhancement",
    in_bands=42,  # the image, its mask, and the bands and flag of each date
    reference=dict(type="Composite", colour="keep"),
    denoiser=dict(
        type="NAFDenoiser",
        width=32,
        patch=4,
        encoder_blocks=(1, 2, 4),
        middle_blocks=2,
        decoder_blocks=(1, 1, 1),
        predicts="residual",
        takes_prior=True,
        gain=True,
    ),
    fusion=dict(type="WeightAllocation", base=12, multipliers=(1, 2, 2), blocks=1, attention_at=()),
    noise_schedule=dict(type="StraightPath", endpoint="prior", noise=0.03),
    sampler=dict(type="DDIM", steps=1),
    eta=0.0,
)
checkpoint_interval = 200
ema = dict(decay=0.95)
num_workers = 1
stages = _base_._dates
