# The other reference that the method is published with, by its own recipe.
_base_ = [
    "_base_/runtime.py",
    "_base_/datasets/cuhkcr.py",
    "_base_/models/de.py",
    "_base_/references/msda.py",
    "_base_/stages/de.py",
]
datamodule = dict(cloud="thick")
model = _base_._de
