_base_ = [
    "_base_/runtime.py",
    "_base_/datasets/rice.py",
    "_base_/models/de.py",
    "_base_/references/msda.py",
    "_base_/stages/de.py",
]
datamodule = dict(root="data/RICE2", version=2)
model = _base_._de
reference_stages = [dict(_base_.reference_stages[0], iterations=58_800)]  # 200 epochs of 588 pairs, 80 % of all
