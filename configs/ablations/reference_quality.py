# How does the result depend on the prior? It is degraded on purpose, or its training is cut short, and the fusion is
# trained on what is left of it.
about = "How does the result depend on the quality of the prior?"
base = "../small/de_rice1.py"
_degraded = {
    "as-it-is": None,
    "blur-1": dict(blur=1.0),
    "blur-3": dict(blur=3.0),
    "noise-0.1": dict(noise=0.1),
    "noise-0.3": dict(noise=0.3),
    "colour-0.1": dict(colour=0.1),
    "bias-0.1": dict(bias=0.1),
    "bias-0.3": dict(bias=0.3),
}
_cut = {"half-trained": 0.5, "tenth-trained": 0.1}  # share of the iterations of both stages
axes = {
    "degrade_prior": {**_degraded, **dict.fromkeys(_cut)},
    "stages.0.iterations": {**dict.fromkeys(_degraded, 1000), **{name: round(1000 * it) for name, it in _cut.items()}},
    "stages.1.iterations": {**dict.fromkeys(_degraded, 500), **{name: round(500 * it) for name, it in _cut.items()}},
}
paired = [("degrade_prior", "stages.0.iterations", "stages.1.iterations")]
baseline = "as-it-is"
variants = ["prior"]
