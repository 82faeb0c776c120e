_base_ = [
    "_base_/runtime.py",
    "_base_/datasets/rice.py",
    "_base_/models/bridge.py",
    "_base_/references/mpr_net.py",
    "_base_/stages/bridge.py",
]
datamodule = dict(root="data/RICE1", version=1)
model = _base_._bridge
