_base_ = ["small.py"]
stages = [*_base_._reference, *_base_._denoiser]
