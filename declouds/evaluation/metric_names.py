"""Properties of metrics by name: ``official.psnr`` is the PSNR of the protocol ``official``, higher is better."""

from typing import Literal

HIGHER_IS_BETTER = ("psnr", "ssim")
NEARER_ZERO_IS_BETTER = ("signature",)  # a protocol whose values may be signed, 0 = no failure
THREE_DECIMALS = ("psnr", "sam", "ergas")  # the others have four
FACTS = "image."  # prefix of facts about an image that do not depend on the method: cover, change


def better(metric: str) -> Literal["higher", "lower", "nearer 0"]:
    """Return which values of a metric are better."""
    protocol, _, name = metric.partition(".")
    if protocol in NEARER_ZERO_IS_BETTER:
        return "nearer 0"
    return "higher" if name.split(".")[0] in HIGHER_IS_BETTER else "lower"


def decimals(metric: str) -> int:
    """Return the number of decimals to show for a metric."""
    return 3 if metric.partition(".")[2].split(".")[0] in THREE_DECIMALS else 4
