_base_ = ["small.py"]
stages = _base_._de
