_base_ = [
    "../_base_/runtime.py",
    "../_base_/datasets/sen12mscr_ts.py",
    "../_base_/models/de.py",
    "../_base_/radar/dsen2_cr.py",
    "../_base_/stages/de.py",
]
model = dict(_base_._de, in_bands=_base_._in_bands)
