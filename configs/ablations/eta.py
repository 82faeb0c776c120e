# How much of the prior is it well to keep at least? Nothing is trained but the model itself, once.
about = "How much of the prior is it well to keep at least?"
base = "../small/de_rice1.py"
axes = dict(eta=[0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
baseline = "0.3"
