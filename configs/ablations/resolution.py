# From 0.5 m to 4 m: the images are reduced before anything is trained on them. Patches are as large as they can be.
about = "What does the method lose or gain from 0.5 m to 4 m a pixel?"
base = "../de_cuhkcr_thick.py"
axes = {
    "datamodule.reduce": {"0.5m": 1, "1m": 2, "2m": 4, "4m": 8},
    "reference_stages.0.crop": [256, 256, 128, 64],
    "stages.0.crop": [64, 64, 32, 16],
    "stages.1.crop": {"0.5m": 64, "1m": 64, "2m": 32, "4m": 16},
    "stages.2.crop": [256, 256, 128, 64],
}
paired = [tuple(axes)]
baseline = "1m"
variants = ["prior"]
