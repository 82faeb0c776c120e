_base_ = ["../_base_/runtime.py", "../_base_/datasets/cuhkcr.py", "../_base_/references/naf_net_large.py"]
datamodule = dict(cloud="thin")
model = dict(type="OnePass")
stages = []
