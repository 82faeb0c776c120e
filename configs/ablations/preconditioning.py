# What does the denoiser of a bridge best predict?
about = "What does the denoiser of a bridge best predict?"
base = "../small/bridge_rice1.py"
axes = {"model.denoiser.predicts": ["clear", "residual", "edm"]}
baseline = "clear"
