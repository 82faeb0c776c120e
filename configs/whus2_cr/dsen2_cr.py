_base_ = ["../_base_/runtime.py", "../_base_/datasets/whus2_cr.py", "../_base_/radar/dsen2_cr.py"]
model = dict(type="OnePass")
stages = []
