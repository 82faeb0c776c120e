_base_ = ["../_base_/runtime.py", "../_base_/datasets/cuhkcr.py", "../_base_/references/msda.py"]
datamodule = dict(cloud="thin")
model = dict(type="OnePass")
reference_stages = [dict(_base_.reference_stages[0], iterations=53_400)]  # 200 epochs of 534 pairs
stages = []
