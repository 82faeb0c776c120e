_base_ = [
    "../_base_/runtime.py",
    "../_base_/datasets/t_cloud.py",
    "../_base_/models/bridge.py",
    "../_base_/references/cvae.py",
    "../_base_/stages/bridge.py",
]
model = _base_._bridge
reference_stages = [dict(_base_.reference_stages[0], iterations=235_100)]  # 200 epochs of 2,351 pairs
