# Four bands, as in the published tables.
_base_ = [
    "_base_/runtime.py",
    "_base_/datasets/cuhkcr.py",
    "_base_/models/de.py",
    "_base_/references/mpr_net.py",
    "_base_/stages/de.py",
]
datamodule = dict(cloud="thick", nir=True)
model = dict(_base_._de, bands=4)
