"""A model run again on chosen images, and what it sees on the way as picture files."""

import math
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import torch

from declouds.evaluation.official import measure_official
from declouds.evaluation.standard import measure_standard
from declouds.evaluation.statistics import Row
from declouds.image_io import write_image
from declouds.report.colour_maps import (
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
from declouds.report.scored_model import ScoredModel
from declouds.report.step_recorder import StepRecorder
from declouds.scenes.sampling.noise import noise_for
from declouds.scenes.sampling.tiled import predict_tiled

SMALL = 128  # pixels of the longer side of a step's picture, where steps were not asked for
SAME = 0.1  # dB of PSNR by which two devices may differ


class ImagePictures:
    """Writes the pictures of one run into a folder, image by image.

    Args:
        scored: the model and its images.
        folder: where the files go; it exists.
        prefix: of the paths that the page is told.
    """

    def __init__(self, scored: ScoredModel, folder: Path, prefix: str) -> None:
        self.scored, self.folder, self.prefix = scored, folder, prefix

    @torch.no_grad()
    def make(self, row: Row, stem: str, whole_steps: bool) -> dict[str, Any]:
        """Run the model on the image of ``row`` and return the paths of its pictures for the page.

        Args:
            row: what was measured, to compare with.
            stem: that the files' names begin with.
            whole_steps: keep the steps at their full size.
        """
        scored = self.scored
        sample = scored.dataset[scored.positions[row["name"]]]
        cloudy, clear = sample["cloudy"].float(), sample["clear"].float()
        result, prior, recorder = self._predict(sample)
        shown = bands_to_show(scored.band_names, len(clear))
        limits = limits_of(clear, shown, scored.units)
        images = {"clear": clear, "result": result}
        if len(cloudy) == len(clear):
            images = {"cloudy": cloudy, **images}
        if prior is not None:
            images["prior"] = prior
        maps = {f"error_{name}": error_map(images[name], clear) for name in ("result", "prior") if name in images}
        height, width = clear.shape[-2:]
        return {
            "name": row["name"],
            "size": [width, height],
            **{name: self._write(f"{stem}-{name}", picture(image, shown, limits)) for name, image in images.items()},
            **{name: self._write(f"{stem}-{name}", map_picture(values, ERROR)) for name, values in maps.items()},
            "weights": self._weights(recorder, stem),
            "steps": self._steps(recorder, stem, shown, limits, LONGEST if whole_steps else SMALL),
            "steps_reduced": max(height, width) > (LONGEST if whole_steps else SMALL),
            "differs": _difference(row, result, clear),
        }

    def _predict(self, sample: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor | None, StepRecorder]:
        """Return result and prior as `evaluate_model` has them, and the steps. Shapes: (C, H, W)."""
        model, recorder = self.scored.model, StepRecorder()
        device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
        cloudy = sample["cloudy"][None].to(device)
        noise = torch.as_tensor(noise_for(sample["name"], self.scored.seed, (model.bands, *cloudy.shape[-2:])))
        noise = noise[None].to(cloudy)
        named = {"name": [sample["name"]]} if model.needs_names else {}
        fuses = getattr(model, "fusion", None) is not None
        if self.scored.tile is not None:  # steps of windows make no picture of the image
            tile = self.scored.tile
            result = predict_tiled(model.predict, cloudy, noise, tile, tile // 4)
            prior = (
                predict_tiled(lambda image, _: model.prior(image), cloudy, noise, tile, tile // 4) if fuses else None
            )
        else:
            record = {"record": recorder} if "record" in signature(model.predict).parameters else {}
            result = model.predict(cloudy, noise, **named, **record)
            prior = model.prior(cloudy, **named) if fuses else None
        ready = (None if image is None else image[0].float().cpu().clamp(-1, 1) for image in (result, prior))
        return *ready, recorder  # type: ignore[return-value]

    def _weights(self, recorder: StepRecorder, stem: str) -> list[dict[str, Any]]:
        """Write the weight, mean of the bands, at the first, a middle and the last step."""
        steps = [(number, step) for number, step in recorder.steps() if "weight" in step]
        picks = sorted({0, len(steps) // 2, len(steps) - 1}) if steps else []
        return [
            {
                "step": number,
                "of": recorder.count,
                "t": int(step["t"]),
                "mean": step["weight"].mean().item(),
                "file": self._write(f"{stem}-weight{number}", map_picture(step["weight"].mean(0), WEIGHT)),
            }
            for number, step in (steps[pick] for pick in picks)
        ]

    def _steps(
        self, recorder: StepRecorder, stem: str, shown: list[int], limits: Limits, longest: int
    ) -> list[dict[str, Any]]:
        """Write x_t, clear_hat, weight and fused of some steps."""
        written = []
        for number, step in recorder.steps():
            files = {
                name: self._write(f"{stem}-step{number}-{name}", picture(step[name], shown, limits, longest))
                for name in ("x_t", "clear_hat", "fused")
            }
            if "weight" in step:
                drawn = map_picture(step["weight"].mean(0), WEIGHT, longest)
                files["weight"] = self._write(f"{stem}-step{number}-weight", drawn)
            written.append({"step": number, "of": recorder.count, "t": int(step["t"]), **files})
        return written

    def _write(self, name: str, pixels: np.ndarray) -> str:
        path = write_image(self.folder / f"{name}.png", np.ascontiguousarray(pixels))
        return f"{self.prefix}/{path.name}"


def _difference(row: Row, result: torch.Tensor, clear: torch.Tensor) -> str | None:
    """Say so if the model run again scores otherwise than the file says: then the pictures are of another model."""
    if "official.psnr" in row:
        told, again = row["official.psnr"], measure_official(result, clear)["psnr"]
    else:
        told, again = row.get("standard.psnr", math.nan), measure_standard(result, clear)["psnr"]
    if math.isnan(told) or told == again or abs(told - again) <= SAME:
        return None
    return (
        f"run again, the model scores {again:.2f} dB here, and {told:.2f} dB in the results: is it still the same one?"
    )
