# 13 bands, and VV and VH, which a tenth of the training samples lack, so that the model works without radar too.
datamodule = dict(type="SEN12MSCR", root="data/SEN12MSCR", sar=True, drop=dict(sar=0.1))
_in_bands = 16  # 13 bands, VV, VH, and the flag of the radar
