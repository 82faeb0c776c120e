"""A model run again on chosen images, and what it sees on the way as picture files."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch

from declouds.evaluation.official import equal_in_gaps, measure_official
from declouds.evaluation.standard import measure_standard
from declouds.evaluation.statistics import Row
from declouds.image_io import write_image
from declouds.inference import spread_calibration
from declouds.report.pictures import (
    ERROR,
    LONGEST,
    WEIGHT,
    Limits,
    bands_to_show,
    error_map,
    limits_of,
    map_picture,
    picture,
)
from declouds.report.scored_model import ScoredModel, StepRecorder
from declouds.scenes.sampling.noise import noise_for, noise_seed
from declouds.scenes.sampling.tiled import clear_image, clear_samples

SMALL = 128  # pixels of the longer side of a step's picture, where steps were not requested
SAME = 0.1  # dB of PSNR by which two devices may differ


class ImagePictures:
    """Writes the images of one run into a folder, image by image.

    Args:
        scored: the model and its images.
        folder: where the files go; it exists.
        prefix: of the paths on the page.
    """

    def __init__(self, scored: ScoredModel, folder: Path, prefix: str) -> None:
        self.scored, self.folder, self.prefix = scored, folder, prefix

    @torch.no_grad()
    def make(self, row: Row, stem: str, whole_steps: bool) -> dict[str, Any]:
        """Run the model on the image of ``row`` and return the paths of its images for the page.

        Args:
            row: what was measured, to compare with.
            stem: that the files' names begin with.
            whole_steps: keep the steps at their full size.
        """
        scored = self.scored
        sample = scored.dataset[scored.positions[row["name"]]]
        cloudy, clear = sample["cloudy"].float(), sample["clear"].float()
        result, baseline, recorder = self._predict(sample)
        model = scored.model
        shown = bands_to_show(scored.band_names, len(clear))
        limits = limits_of(clear, shown, scored.units)
        images = {"clear": clear, "result": result}
        if len(cloudy) == len(clear):
            images = {"cloudy": cloudy, **images}
        if baseline is not None:
            images[model.baseline] = baseline
        valid = sample.get("valid")
        maps = {
            f"error_{name}": error_map(equal_in_gaps(images[name], clear, valid), clear)
            for name in ("result", model.baseline)
            if name in images
        }
        spread = {}
        if scored.samples > 1:
            values, spread["spread_title"] = self._spread(sample)
            spread["spread"] = self._write(f"{stem}-spread", map_picture(values, ERROR))
        height, width = clear.shape[-2:]
        return {
            "name": row["name"],
            "size": [width, height],
            **{name: self._write(f"{stem}-{name}", picture(image, shown, limits)) for name, image in images.items()},
            **{name: self._write(f"{stem}-{name}", map_picture(values, ERROR)) for name, values in maps.items()},
            **spread,
            "baseline": model.baseline,
            "maps": self._maps(recorder, stem),
            "map_title": (model.quality_band or "").capitalize(),
            "steps": self._steps(recorder, stem, shown, limits, LONGEST if whole_steps else SMALL),
            "steps_reduced": max(height, width) > (LONGEST if whole_steps else SMALL),
            "differs": _difference(row, result, clear, valid),
        }

    def _predict(self, sample: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor | None, StepRecorder]:
        """Return the result and the model's baseline as `evaluate_model` has them, and the steps. Shapes: (C, H, W)."""
        model, recorder, scored = self.scored.model, StepRecorder(), self.scored
        device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
        cloudy, name = sample["cloudy"].to(device), sample["name"]
        seed = noise_seed(name, scored.seed)
        baseline = None
        if model.baseline is not None:
            baseline = clear_image(model, cloudy, seed, scored.tiling, model.baseline, name)
        if scored.tiling is not None:  # steps of windows make no image of the whole
            result = clear_image(model, cloudy, seed, scored.tiling, name=name)
        else:
            noise = torch.as_tensor(noise_for(name, scored.seed, (model.bands, *cloudy.shape[-2:])))[None].to(cloudy)
            result = model.predict(cloudy[None], noise, name=[name], record=recorder)[0]
        ready = (None if image is None else image.float().cpu().clamp(-1, 1) for image in (result, baseline))
        return *ready, recorder  # type: ignore[return-value]

    def _spread(self, sample: dict[str, Any]) -> tuple[torch.Tensor, str]:
        """Return how far the result is off by the samples, mean of the bands in % of the range, and what that is."""
        scored, model = self.scored, self.scored.model
        device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
        seed = noise_seed(sample["name"], scored.seed)
        drawn = clear_samples(
            model, sample["cloudy"].to(device), seed, scored.samples, scored.tiling, name=sample["name"]
        )
        spread, of = drawn.clamp(-1, 1).std(0).cpu().numpy(), f"{scored.samples} samples"
        calibration = spread_calibration(model)
        if calibration is None:
            return torch.from_numpy(50 * spread.mean(0)), f"standard deviation of {of}"
        return torch.from_numpy(50 * calibration.deviation(spread).mean(0)), f"calibrated deviation by {of}"

    def _recorded(self, kind: str, steps: list[tuple[int, dict[str, torch.Tensor]]]) -> list[str]:
        """Return what the model records of its steps and is an image, or a map; the baseline is not a step."""
        model = self.scored.model
        return [
            name
            for name, drawn in model.recorded.items()
            if drawn == kind and name != model.baseline and any(name in step for _, step in steps)
        ]

    def _maps(self, recorder: StepRecorder, stem: str) -> list[dict[str, Any]]:
        """Write the recorded maps, mean of the bands, at the first, a middle and the last step."""
        steps = recorder.steps()
        picks = sorted({0, len(steps) // 2, len(steps) - 1}) if steps else []
        return [
            {
                "name": name,
                "step": number,
                "of": recorder.count,
                "t": int(step["t"]),
                "mean": step[name].mean().item(),
                "file": self._write(f"{stem}-{name}{number}", map_picture(step[name].mean(0), WEIGHT)),
            }
            for name in self._recorded("map", steps)
            for number, step in (steps[pick] for pick in picks)
        ]

    def _steps(
        self, recorder: StepRecorder, stem: str, shown: list[int], limits: Limits, longest: int
    ) -> list[dict[str, Any]]:
        """Write what is recorded of some steps."""
        steps, written = recorder.steps(), []
        images, maps = self._recorded("image", steps), self._recorded("map", steps)
        for number, step in steps:
            files = {name: picture(step[name], shown, limits, longest) for name in images}
            files |= {name: map_picture(step[name].mean(0), WEIGHT, longest) for name in maps}
            paths = {name: self._write(f"{stem}-step{number}-{name}", pixels) for name, pixels in files.items()}
            written.append({"step": number, "of": recorder.count, "t": int(step["t"]), "files": paths})
        return written

    def _write(self, name: str, pixels: np.ndarray) -> str:
        path = write_image(self.folder / f"{name}.png", np.ascontiguousarray(pixels))
        return f"{self.prefix}/{path.name}"


def _difference(row: Row, result: torch.Tensor, clear: torch.Tensor, valid: torch.Tensor | None) -> str | None:
    """Say so if the model run again scores otherwise than the file says: then the images are of another model."""
    if "official.psnr" in row:
        recorded, again = row["official.psnr"], measure_official(result, clear, valid=valid)["psnr"]
    else:
        recorded, again = row.get("standard.psnr", math.nan), measure_standard(result, clear, valid=valid)["psnr"]
    if math.isnan(recorded) or recorded == again or abs(recorded - again) <= SAME:
        return None
    return (
        f"run again, the model scores {again:.2f} dB instead of the recorded {recorded:.2f} dB: is it the same model?"
    )
