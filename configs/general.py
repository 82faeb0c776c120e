# The weights that come with the package: RGB of any sensor, thin and thick cloud, trained on simulated clouds over free
# clear imagery alone (UC Merced and EuroSAT): windows of the size that scenes are cleared in, after the small ones.
_base_ = ["general_windows.py"]
datamodule = dict(
    size=256,
    mosaic=0.5,
    shares=dict(thin=0.26, thick=0.17, mixed=0.09, masks=0.13, clear=0.35),
    thickness=(0.1, 2.0),
    reflectance=0.5,
    flat=0.25,
)
load_from = "work_dirs/general_windows/model.safetensors"
stages = _base_._general
