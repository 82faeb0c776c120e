_base_ = ["../_base_/runtime.py", "../_base_/datasets/sen12mscr_ts.py", "../_base_/dates/temporal_unet.py"]
model = dict(type="OnePass", in_bands=_base_._in_bands)
stages = []
