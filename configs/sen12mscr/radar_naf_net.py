_base_ = ["../_base_/runtime.py", "../_base_/datasets/sen12mscr.py", "../_base_/radar/radar_naf_net.py"]
model = dict(type="OnePass", in_bands=_base_._in_bands)
stages = []
