_base_ = [
    "_base_/runtime.py",
    "_base_/datasets/cuhkcr.py",
    "_base_/models/bridge.py",
    "_base_/references/mpr_net.py",
    "_base_/stages/bridge.py",
]
datamodule = dict(cloud="thick")
model = _base_._bridge
