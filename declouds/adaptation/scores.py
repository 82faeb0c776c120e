"""Scores of a model on held-out windows under simulated clouds, thin and thick apart."""

from collections.abc import Sequence
from typing import Any

from torch.utils.data import Dataset

from declouds.datamodules.clouded_images import CloudedImagesDataset
from declouds.evaluation.evaluate_model import evaluate_model
from declouds.evaluation.statistics import Estimate, Row, column, compare, estimate

KINDS = ("thin", "thick")
PSNR = "standard.psnr"
Scores = dict[str, dict[str, list[Row]]]  # kind of cloud -> 'cloudy' or 'result' -> one row per window


class HeldOutWindows(Dataset):
    """Windows of the part 'test' under one kind of cloud, the windows in turn, each time under another cloud."""

    def __init__(self, datamodule: dict[str, Any], kind: str, count: int) -> None:
        own = dict(other_sensors=0.0, shares={kind: 1.0})
        self.data = CloudedImagesDataset(
            part="test", **{key: value for key, value in datamodule.items() if key != "type"} | own
        )
        self.count = count

    def __len__(self) -> int:
        """Return the number of windows."""
        return self.count

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return a window; the same at every call."""
        spread = max(1, len(self.data) // self.count)  # over all images, where there are more than are looked at
        sample = self.data.draw(index * spread % len(self.data), index)
        return sample | dict(name=f"{sample['name']}#{index}")


def score(model: Any, datamodule: dict[str, Any], count: int, seed: int) -> Scores:
    """Score a model, and the cloudy image, on ``count`` held-out windows under each kind of cloud."""
    scores: Scores = {}
    for kind in KINDS:
        windows = HeldOutWindows(datamodule, kind, count)
        rows = evaluate_model(model, windows, protocols=("standard",), seed=seed, variants=("cloudy",))
        own = [{"name": row["name"], PSNR: row[PSNR]} for row in rows[model.method]]
        cloudy = [{"name": row["name"], PSNR: row[PSNR]} for row in rows["cloudy"]]
        scores[kind] = dict(cloudy=cloudy, result=own)
    return scores


def mean_psnr(rows: Sequence[Row]) -> Estimate:
    """Return the mean PSNR with its 95 % interval over windows. Units: dB."""
    return estimate(column(rows, PSNR))


def gain(after: Scores, before: Scores) -> Estimate:
    """Return by how much the PSNR has risen, paired by window, over both kinds of cloud. Units: dB."""
    rows = [
        [dict(row, name=f"{kind} {row['name']}") for kind in KINDS for row in scores[kind]["result"]]
        for scores in (after, before)
    ]
    return compare(rows[0], rows[1])[PSNR]


def as_text(value: Estimate) -> str:
    """Return ``31.2 dB [30.1, 32.4]``."""
    return f"{value.mean:.2f} dB [{value.low:.2f}, {value.high:.2f}]"


def as_lines(scores: dict[str, Scores]) -> list[str]:
    """Return a table: kind of cloud, PSNR of the cloudy image and of each model by its title."""
    titles = ["cloudy image", *scores]
    lines = [f"{'clouds':<8}" + "".join(f"{title:<26}" for title in titles)]
    for kind in KINDS:
        first = next(iter(scores.values()))
        rows = [first[kind]["cloudy"], *(model[kind]["result"] for model in scores.values())]
        lines.append(f"{kind:<8}" + "".join(f"{as_text(mean_psnr(own)):<26}" for own in rows))
    return [line.rstrip() for line in lines]


def as_numbers(scores: Scores) -> dict[str, dict[str, list[float]]]:
    """Return kind -> 'cloudy' or 'result' -> mean PSNR and its interval, for the record of a weights file."""
    return {
        kind: {name: [round(value, 3) for value in mean_psnr(rows)[:3]] for name, rows in scores[kind].items()}
        for kind in KINDS
    }
