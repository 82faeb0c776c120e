"""How many windows a device computes at a time."""

from collections.abc import Sequence

import torch

from declouds.scenes.sampling.passes import Noise, Pass

SHARE = 0.5  # of the free memory: the allocator leaves gaps, and other programs may want some
MOST = 64  # more windows are not faster


def compute_zeros(
    passes: Sequence[Pass], in_bands: int, bands: int, batch: int, size: tuple[int, int], device: torch.device
) -> None:
    """Compute a batch of windows of each kind of pass, to see what memory that takes.

    Args:
        passes: the passes; the first two are the prior and a step of the sampler, or windows as a whole.
        in_bands: bands of the image.
        bands: bands of the noise.
        batch: windows.
        size: their height and width.
        device: where they are computed.
    """
    channels = {step.output: step.output_bands for step in passes} | {"cloudy": in_bands}
    with torch.inference_mode():
        for step in passes[:2]:
            inputs = [in_bands, *(bands if isinstance(source, Noise) else channels[source] for source in step.inputs)]
            step.compute(*(torch.zeros(batch, count, *size, device=device) for count in inputs))


def windows_that_fit(
    free: int, passes: Sequence[Pass], in_bands: int, bands: int, size: tuple[int, int], device: torch.device
) -> int:
    """Return how many windows fit the ``free`` bytes of a GPU's memory, by what one takes.

    On a CPU a batch is not faster than its windows one by one, which fit its caches better.
    """
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    try:
        compute_zeros(passes, in_bands, bands, 1, size, device)
    except torch.OutOfMemoryError:
        return 1  # the loop reports it
    taken = torch.cuda.max_memory_allocated(device) - before
    return max(1, min(MOST, int(SHARE * free / max(taken, 1))))
