# A network over several dates on the data of de_bridge_dates.py: 13 bands, and the masks of the image's clouds.
_base_ = ["de_bridge_dates.py"]
model = dict(
    _delete_=True, type="OnePass", in_bands=42, reference=dict(type="TemporalUNet", dates=2, heads=8, width=16)
)
reference_weights = "train"
ema = dict(decay=0.99)
stages = _base_._dates_reference
