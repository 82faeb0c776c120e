# A network over several dates on the data of de_dates.py. Its weights can be the prior of a DE with the same reference.
_base_ = ["de_dates.py"]
model = dict(
    _delete_=True, type="OnePass", in_bands=11, reference=dict(type="TemporalUNet", dates=2, heads=8, width=16)
)
reference_weights = "train"
stages = _base_._de[:2]
