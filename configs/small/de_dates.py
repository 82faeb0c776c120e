# DE whose prior is other dates of each place, on pairs of your own: root/cloud and root/label, and root/before and
# root/after with an image of each pair on another day. A fifth of the training samples lack either, so that the model
# works with one date or none. Where no date is clear the prior is the cloudy image, which no weight may force on it.
_base_ = ["../_base_/runtime.py", "../_base_/models/de_small.py", "../_base_/stages/small.py"]
datamodule = dict(
    type="PairedFolder",
    root="data/dates",
    split="folders",
    value_range=(0, 10000),
    band_names=("red", "green", "blue"),
    sources=dict(dates=["before", "after"]),
    drop=dict(before=0.2, after=0.2),
)
model = dict(
    in_bands=11,  # the image, and the bands and flag of each date
    reference=dict(_delete_=True, type="Composite", dates=2),
    eta=0.0,
)
checkpoint_interval = 200
ema = dict(decay=0.99)
stages = _base_._de_naf
