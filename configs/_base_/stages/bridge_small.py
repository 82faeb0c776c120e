# The stages of de_small but those of the fusion.
_base_ = ["de_small.py"]
stages = [stage for stage in _base_.stages if "fusion" not in stage["train"]]
