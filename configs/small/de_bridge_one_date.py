# de_bridge_dates.py with a single other date, the one before.
_base_ = ["de_bridge_dates.py"]
datamodule = dict(sources=dict(dates=["before"]), drop=dict(_delete_=True, before=0.1))
model = dict(in_bands=28)  # the image, its mask, and the bands and flag of the date
