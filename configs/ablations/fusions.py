# Which fusion helps, and does any? All on one denoiser and one reference, which are trained once.
about = "Which fusion helps, and does any?"
base = "../small/de_rice1.py"
_unet = dict(base=12, multipliers=(1, 2, 2), blocks=1, attention_at=())
_learned = {
    "weight-allocation": dict(type="WeightAllocation", **_unet),
    "sees-clear_hat": dict(type="WeightAllocation", sees=("clear_hat", "x_t", "cloudy", "prior"), **_unet),
    "band-shared": dict(type="WeightAllocation", shared=True, **_unet),
    "untimed": dict(type="WeightAllocation", timed=False, **_unet),
    "spatial-only": dict(type="WeightAllocation", timed=False, shared=True, sees=("cloudy", "prior"), **_unet),
    "sigmoid": dict(type="SigmoidWeight", **_unet),
    "time-only": dict(type="TimeWeight"),
    "disagreement": dict(type="DisagreementWeight"),
    "timm": dict(type="TimmUNet", encoder="mobilenetv3_small_050", base=8),
}
# A given weight is taken as it is: eta, the least weight of the prior, is for those that are learned.
_fixed = {f"fixed-{weight:g}": dict(type="FixedWeight", weight=weight) for weight in (0.0, 0.3, 0.5, 1.0)}
axes = dict(
    fusion={**_learned, **_fixed, "no-fusion": None},
    eta={**dict.fromkeys(_learned, 0.3), **dict.fromkeys([*_fixed, "no-fusion"], 0.0)},
)
paired = [("fusion", "eta")]
baseline = "no-fusion"
