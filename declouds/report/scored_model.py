"""The model and the images that scores were made of, found again."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from declouds.digests import file_digest
from declouds.errors import UserError
from declouds.evaluation.load_checked import load_checked
from declouds.evaluation.results import RunResults
from declouds.registry import DATAMODULES
from declouds.report.run_content import find_run_folder
from declouds.scenes.sampling.tiles import Tiling
from declouds.training.config import load_config

STAGE_OF_PART = {"train": "fit", "val": "validate", "test": "test"}


@dataclass(frozen=True)
class ScoredModel:
    """A model with the images that it was measured on.

    Attributes:
        model: in evaluation mode.
        dataset: its samples.
        positions: name of an image -> its index in ``dataset``.
        units: of the data.
        band_names: of the data, if they are known.
        seed: of the start noise.
        tiling: the windows, or None.
        samples: number of samples of every image.
    """

    model: Any
    dataset: Any
    positions: dict[str, int]
    units: Any
    band_names: tuple[str, ...]
    seed: int
    tiling: Tiling | None
    samples: int = 1


def find_scored_model(
    run: RunResults,
    device: torch.device,
    checkpoint: Path | None = None,
    config: Path | None = None,
    cfg_options: Sequence[str] = (),
) -> ScoredModel:
    """Build the model and the data set that a run's ``results.json`` names, or those given instead.

    Raises:
        UserError: one of them is not on this machine, or not what was measured; says which option to give.
    """
    about, folder = run.about, find_run_folder(run)
    if not about.get("checkpoint") and checkpoint is None:
        raise UserError("its scores are of image files, not of a model: nothing can be run again")
    weights = _first(checkpoint, about.get("checkpoint"), folder and folder / "model.safetensors", "--checkpoint FILE")
    measured = about.get("weights", {}).get("sha256")
    if measured and file_digest(weights) != measured:
        raise UserError(
            f"{weights} holds other weights than were measured: give --checkpoint FILE with SHA-256 {measured}"
        )
    file = _first(config, about.get("config"), folder and folder / "config.py", "--config FILE")
    settings = load_config(file, [*about.get("cfg_options", []), *cfg_options])
    part = run.split.get("part", "test")
    try:
        datamodule = DATAMODULES.build(settings.get("test_datamodule", settings.datamodule))
        datamodule.setup(STAGE_OF_PART[part])
    except UserError as error:
        raise UserError(f"its data are not there ({error}): give --cfg-options datamodule.root=DIR") from error
    dataset = getattr(datamodule, f"{part}_dataset", None)
    found = datamodule.split_record().get(part, {}).get("digest")
    if not dataset or (run.split.get("digest") and found != run.split["digest"]):
        raise UserError(
            f"its data hold other images than were measured: give --cfg-options that name those of {run.path}"
        )
    tile = about.get("tile")
    computed = (about.get("precision", "fp32"), about.get("steps"))
    model = load_checked(weights, settings, datamodule, dataset[0], device, *computed)
    return ScoredModel(
        model=model,
        dataset=dataset,
        positions={name: index for index, name in enumerate(dataset.names)},
        units=datamodule.value_range,
        band_names=tuple(model.band_names or getattr(datamodule, "band_names", ())),
        seed=about.get("seed", 0),
        tiling=None if tile is None else Tiling(tile, tile // 4, blend=about.get("blend", "joint")),
        samples=run.samples.get("count", 1),
    )


def _first(given: Path | None, recorded: str | None, beside: Path | None, option: str) -> Path:
    """Return the first file that exists: the one given, the one that the scores name, the one in the run's folder."""
    if given is not None:
        if not given.is_file():
            raise UserError(f"{given} does not exist: give {option}")
        return given
    candidates = [Path(path) for path in (recorded, beside) if path]
    for path in candidates:
        if path.is_file():
            return path
    raise UserError(f"{candidates[0] if candidates else 'the file'} is not on this machine: give {option}")


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
