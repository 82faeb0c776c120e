_base_ = ["../_base_/runtime.py", "../_base_/datasets/rice.py", "../_base_/references/memory_net.py"]
datamodule = dict(root="data/RICE1", version=1)
model = dict(type="OnePass")
stages = []
