# de_bridge_dates.py with four other dates: the two around the image, and the next ones before and after these.
_base_ = ["de_bridge_dates.py"]
datamodule = dict(sources=dict(dates=["before", "after", "earlier", "later"]), drop=dict(earlier=0.1, later=0.1))
model = dict(in_bands=70)  # the image, its mask, and the bands and flag of each date
