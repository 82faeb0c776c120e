_base_ = ["../_base_/runtime.py", "../_base_/datasets/cuhkcr.py", "../_base_/references/amgan_cr.py"]
datamodule = dict(cloud="thick")
model = dict(type="OnePass")
stages = []
