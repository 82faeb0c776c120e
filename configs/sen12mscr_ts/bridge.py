_base_ = [
    "../_base_/runtime.py",
    "../_base_/datasets/sen12mscr_ts.py",
    "../_base_/models/bridge.py",
    "../_base_/radar/dsen2_cr.py",
    "../_base_/stages/bridge.py",
]
model = dict(_base_._bridge, in_bands=_base_._in_bands)
