# What does the denoiser of a bridge best predict?
about = "What does the denoiser of a bridge best predict?"
base = "../small/bridge_rice1.py"
overrides = {"model.denoiser.from_reference": False}  # which has to predict the clear image
axes = {"model.denoiser.predicts": ["clear", "residual", "edm"]}
baseline = "clear"
