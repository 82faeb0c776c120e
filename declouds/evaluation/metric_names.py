"""What the names of metrics say: ``official.psnr`` is the PSNR of the protocol ``official``, higher is better."""

from typing import Literal

HIGHER_IS_BETTER = ("psnr", "ssim")
NEARER_ZERO_IS_BETTER = ("signature",)  # a protocol: its values may be signed, 0 is none of the failure
THREE_DECIMALS = ("psnr", "sam", "ergas")  # the others are shown with four
FACTS = "image."  # keys of what is known of an image, whatever was made of it: cover, change


def better(metric: str) -> Literal["higher", "lower", "nearer 0"]:
    """Return which values of a metric are the better ones."""
    protocol, _, name = metric.partition(".")
    if protocol in NEARER_ZERO_IS_BETTER:
        return "nearer 0"
    return "higher" if name.split(".")[0] in HIGHER_IS_BETTER else "lower"


def decimals(metric: str) -> int:
    """Return how many decimals of a metric are shown."""
    return 3 if metric.partition(".")[2].split(".")[0] in THREE_DECIMALS else 4
