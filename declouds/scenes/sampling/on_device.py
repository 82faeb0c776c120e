"""A whole image in the memory of a GPU: windows are cut, blended and stepped there, and only the result comes back."""

from collections.abc import Sequence

import torch

from declouds.scenes.sampling.loop import PassLoop, non_finite
from declouds.scenes.sampling.noise import noise_field
from declouds.scenes.sampling.passes import Input, Noise, Pass, clear_name
from declouds.scenes.sampling.ranks import Ranks
from declouds.scenes.sampling.tiles import Window, axis_weights

Rasters = dict[Input, torch.Tensor]  # (channels, H, W) each


class DeviceLoop(PassLoop):
    """Runs passes as `PassLoop` does, to the same pixels up to rounding, with all rasters in the device's memory.

    It keeps nothing before its end: after a kill the work begins again.
    """

    def bytes_needed(self, passes: Sequence[Pass]) -> int:
        """Return the memory that it takes besides the network."""
        pixels, rasters = self.image.height * self.image.width, {step.output: step.output_bands for step in passes}
        of_windows = sum(window.height * window.width for window in self.grid) * len(self._cloudy(self.grid[0]))
        # All rasters; then the noise, the blend and its copies while it is stepped, each no larger than the largest.
        return 4 * (of_windows + pixels * (sum(rasters.values()) + 5 * (1 + max(rasters.values()))))

    def run(self, passes: Sequence[Pass], areas: Sequence[Window], ranks: Ranks) -> None:
        """Run all passes over the whole image, as the only process.

        Raises:
            UserError: see `PassLoop.run`.
        """
        self._prepare(passes)
        results = {clear_name(sample) for sample in range(len(passes))} & set(self.channels)
        with torch.inference_mode():
            cloudy = [torch.from_numpy(self._cloudy(window)).to(self.device) for window in self.grid]
            rasters: Rasters = {}
            for number, step in enumerate(passes):
                for source in {*step.inputs, *step.step_inputs} - set(rasters):
                    rasters[source] = self._whole(source)
                blended = self._blend(step, cloudy, rasters, len(passes) * len(self.grid))
                if step.step is not None:
                    blended = step.step(blended, *(rasters[source] for source in step.step_inputs))
                rasters[step.output] = blended
                later = {source for after in passes[number + 1 :] for source in (*after.inputs, *after.step_inputs)}
                rasters = {source: raster for source, raster in rasters.items() if source in later | results}
        for name in results:
            values = rasters[name].cpu().numpy()
            self.job.raster(name, self.channels[name]).write(Window(0, 0, *values.shape[1:]), values)
        self.job.note_pass(len(passes) - 1)

    def _blend(self, step: Pass, cloudy: Sequence[torch.Tensor], rasters: Rasters, total: int) -> torch.Tensor:
        """Compute all windows of a pass and return their blend. Shapes: (step.channels, H, W)."""
        size, tiling = (self.image.height, self.image.width), self.tiling
        down, across = (
            {start: torch.from_numpy(factor).to(self.device) for start, factor in factors.items()}
            for factors in (
                axis_weights(size[0], self.grid[0].height, tiling.overlap, tiling.taper),
                axis_weights(size[1], self.grid[0].width, tiling.overlap, tiling.taper),
            )
        )
        sums, start = torch.zeros(step.channels + 1, *size, device=self.device), 0
        while start < len(self.grid):
            batch = self.grid[start : start + self.batch_size]  # which may shrink on the way
            images = [torch.stack(list(cloudy[start : start + len(batch)]))]
            images += [torch.stack([rasters[source][..., *w.slices] for w in batch]) for source in step.inputs]
            for window, values in zip(batch, self._compute(step, batch, images), strict=True):
                weights = torch.outer(down[window.row], across[window.col]).float()
                sums[:-1, *window.slices] += values * weights
                sums[-1, *window.slices] += weights
            start += len(batch)
            self._tell(step, len(batch), total)
        if not bool(sums.isfinite().all()):  # asked once a pass, since every question waits for the device
            raise non_finite(next(w for w in self.grid if not bool(sums[..., *w.slices].isfinite().all())))
        return torch.where(sums[-1] > 0, sums[:-1] / sums[-1], 0)

    def _whole(self, source: Input) -> torch.Tensor:
        """Return a field of noise or the image in full."""
        size = (self.image.height, self.image.width)
        if isinstance(source, Noise):
            values = noise_field(self.seed, self.bands, 0, 0, *size, stream=source.stream)
        else:
            values = self._cloudy(Window(0, 0, *size))
        return torch.from_numpy(values).to(self.device)
