_base_ = ["../_base_/runtime.py", "../_base_/datasets/rice.py", "../_base_/references/cvae.py"]
datamodule = dict(root="data/RICE1", version=1)
model = dict(type="OnePass")
reference_stages = [dict(_base_.reference_stages[0], iterations=40_000)]  # 200 epochs of 400 pairs
stages = []
