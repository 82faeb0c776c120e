_base_ = [
    "../_base_/runtime.py",
    "../_base_/datasets/t_cloud.py",
    "../_base_/models/de.py",
    "../_base_/references/cvae.py",
    "../_base_/stages/de.py",
]
model = _base_._de
reference_stages = [dict(_base_.reference_stages[0], iterations=235_100)]  # 200 epochs of 2,351 pairs
