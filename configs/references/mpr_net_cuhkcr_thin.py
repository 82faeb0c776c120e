_base_ = ["../_base_/runtime.py", "../_base_/datasets/cuhkcr.py", "../_base_/references/mpr_net.py"]
datamodule = dict(cloud="thin")
model = dict(type="OnePass")
stages = []
