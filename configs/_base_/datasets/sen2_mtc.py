# Three cloudy dates of 4 bands: the image, and two as further sources. The published split has a validation part.
datamodule = dict(type="Sen2MTC", root="data/Sen2_MTC_New", version="new", nir=True)
_in_bands = 12  # 4 bands of each date
