"""Properties of metrics by name: ``official.psnr`` is the PSNR of the protocol ``official``, higher is better."""

HIGHER_IS_BETTER = ("psnr", "ssim")
NEARER_ZERO_IS_BETTER = ("signature",)  # a protocol whose values may be signed, 0 = no failure
BEST_AT = {"coverage50": 0.5, "coverage90": 0.9}
NEITHER_IS_BETTER = ("spread",)  # as large as the error is right
THREE_DECIMALS = ("psnr", "sam", "ergas")  # the others have four
FACTS = "image."  # prefix of facts about an image that do not depend on the method: cover, change


def target(metric: str) -> float | None:
    """Return the best value of a metric, of which neither higher nor lower ones are better; else None."""
    protocol, _, name = metric.partition(".")
    return 0.0 if protocol in NEARER_ZERO_IS_BETTER else BEST_AT.get(name.split(".")[0])


def better(metric: str) -> str:
    """Return which values of a metric are better: ``higher``, ``lower``, ``nearer 0`` ..., or "" for none."""
    best, kind = target(metric), metric.partition(".")[2].split(".")[0]
    if best is not None:
        return f"nearer {best:g}"
    if kind in NEITHER_IS_BETTER:
        return ""
    return "higher" if kind in HIGHER_IS_BETTER else "lower"


def decimals(metric: str) -> int:
    """Return the number of decimals to show for a metric."""
    return 3 if metric.partition(".")[2].split(".")[0] in THREE_DECIMALS else 4
