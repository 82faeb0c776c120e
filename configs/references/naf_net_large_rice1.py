_base_ = ["../_base_/runtime.py", "../_base_/datasets/rice.py", "../_base_/references/naf_net_large.py"]
datamodule = dict(root="data/RICE1", version=1)
model = dict(type="OnePass")
stages = []
