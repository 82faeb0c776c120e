# Three dates of 13 bands with VV and VH each, chosen as UnCRtainTS chooses them. `declouds data covers` comes first.
datamodule = dict(type="SEN12MSCRTS", root="data/SEN12MSCRTS", dates=3, sar=True, choice="published")
_in_bands = 45  # 13 bands, VV and VH of each date
