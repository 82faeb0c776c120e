"""Steps of the sampling, kept evenly, in bounded memory whatever their number."""

import torch

KEPT = 8


class StepRecorder:
    """Takes every step of a sampler as ``record`` and keeps at most eight of them: the first, the last, some between.

    After 16 steps every second is forgotten and only every second one kept from then on, and so forth.
    """

    def __init__(self) -> None:
        self.count = 0
        self._every = 1
        self._steps: dict[int, dict[str, torch.Tensor]] = {}
        self._last: dict[str, torch.Tensor] = {}

    def __call__(self, step: dict[str, torch.Tensor]) -> None:
        """Take the next step. Shapes: images (1, C, h, w), t (1,)."""
        # A copy: a sampler may go on in the same memory.
        self._last = {key: value[0].detach().float().cpu().clone() for key, value in step.items()}
        if self.count % self._every == 0:
            self._steps[self.count] = self._last
            if len(self._steps) > 2 * KEPT:
                self._every *= 2
                self._steps = {number: kept for number, kept in self._steps.items() if number % self._every == 0}
        self.count += 1

    def steps(self) -> list[tuple[int, dict[str, torch.Tensor]]]:
        """Return (number from 1, step) of at most eight steps, in order."""
        if not self.count:
            return []
        kept = list(({**self._steps, self.count - 1: self._last}).items())
        picks = {round(index * (len(kept) - 1) / (KEPT - 1)) for index in range(KEPT)}
        return [(kept[pick][0] + 1, kept[pick][1]) for pick in sorted(picks)]
