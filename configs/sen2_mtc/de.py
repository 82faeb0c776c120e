_base_ = [
    "../_base_/runtime.py",
    "../_base_/datasets/sen2_mtc.py",
    "../_base_/models/de.py",
    "../_base_/references/naf_net.py",
    "../_base_/stages/de.py",
]
model = dict(_base_._de, in_bands=_base_._in_bands)
