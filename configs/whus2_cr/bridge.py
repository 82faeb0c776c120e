_base_ = [
    "../_base_/runtime.py",
    "../_base_/datasets/whus2_cr.py",
    "../_base_/models/bridge.py",
    "../_base_/radar/dsen2_cr.py",
    "../_base_/stages/bridge.py",
]
model = _base_._bridge
