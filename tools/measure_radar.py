"""Does radar help? Train with and without it on the same pairs: `python tools/measure_radar.py FOLDER --out DIR`.

FOLDER holds pairs of Sentinel-2 and Sentinel-1: `cloudy`, `label` and `s1`. They are divided into folds by name, and
each image is cleared by the networks trained on the other folds: that of `configs/small/radar_naf_net.py`, and NAFNet
of the same sizes, on the same crops for as many iterations. A pixel counts as cloud where image and truth differ by
more than 0.04 of reflectance in blue, green or red. Printed are PSNR (peak 1), MAE in ten-thousandths of reflectance
and SAM in degrees, over all bands of the pixels in the cloud, and what radar adds, paired by image, with its 95 %
interval.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset

from declouds.datamodules.pairs import images_in
from declouds.errors import UserError
from declouds.evaluation.evaluate_model import evaluate_model
from declouds.evaluation.statistics import Row, compare, summarise
from declouds.registry import DATAMODULES
from declouds.training.coarse_to_fine import CoarseToFine
from declouds.training.config import load_config
from declouds.weights.file import load_model

CONFIG = Path(__file__).resolve().parents[1] / "configs" / "small" / "radar_naf_net.py"
WITHOUT = ["model.reference.type=NAFNet", "model.in_bands=13", "datamodule.sources=None"]
MODELS: Mapping[str, Sequence[str]] = {"without radar": WITHOUT, "with radar": ()}
CHANGED, VISIBLE = 0.04, slice(1, 4)  # reflectance, and the bands blue, green and red
METRICS = {"psnr": 1.0, "mae": 10_000.0, "sam": 1.0}
HALF = 0.5  # of an image under cloud


class WithCloud(Dataset):
    """A data set whose samples have the mask of their cloud: where image and truth differ."""

    def __init__(self, data: Any) -> None:
        self.data = data

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.data)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return a sample with its ``mask``. Shapes: (1, H, W)."""
        sample = self.data[index]
        difference = (sample["cloudy"][VISIBLE] - sample["clear"][VISIBLE]).abs() / 2
        return {**sample, "mask": (difference.amax(0, keepdim=True) > CHANGED).float()}


def fold_rows(data: Path, split: Path, of: str, out: Path, options: Sequence[str]) -> tuple[list[Row], list[Row]]:
    """Train one model on a fold, or resume its run; return the rows of the cloudy images and of its results.

    Raises:
        UserError: ``out`` holds a run of other images or options.
    """
    config = load_config(CONFIG, [f"datamodule.root={data}", f"datamodule.split={split}", *MODELS[of], *options])
    weights = CoarseToFine(config, out).run(resume=out.exists())
    datamodule = DATAMODULES.build(config.datamodule)
    datamodule.setup("test")
    model = load_model(weights)
    images = WithCloud(datamodule.test_dataset)
    rows = evaluate_model(model, images, protocols=("reflectance",), variants=("cloudy",))
    return rows["cloudy"], rows[model.method]


def as_line(title: str, rows: Sequence[Row], minus: Sequence[Row] | None = None) -> str:
    """Return the metrics in the cloud, or how much they are above those of ``minus``, with their intervals."""
    found = summarise(rows) if minus is None else compare(rows, minus)
    cells = []
    for name, unit in METRICS.items():
        value = found[f"reflectance.{name}.cloudy_pixels"]
        mean, low, high = (f"{unit * number:.4g}" for number in value[:3])
        cells.append(f"{name} {mean} [{low}, {high}]")
    return f"{title:22} " + "   ".join(cells)


def measure(data: Path, out: Path, folds: int, options: Sequence[str]) -> None:
    """Train and test every fold, and print the scores.

    Raises:
        UserError: there are fewer images than folds, or ``out`` holds other folds.
    """
    names = sorted(images_in(data / "cloudy"))
    if not 2 <= folds <= len(names):
        raise UserError(f"--folds {folds}: there are {len(names)} images: give 2 to {len(names)}")
    rows: dict[str, list[Row]] = {method: [] for method in ("cloudy", *MODELS)}
    for fold in range(folds):
        folder, test = out / f"fold_{fold}", names[fold::folds]
        folder.mkdir(parents=True, exist_ok=True)
        split = folder / "split.json"
        split.write_text(json.dumps(dict(train=[name for name in names if name not in test], test=test)))
        for of in MODELS:
            print(f"fold {fold + 1} of {folds}, {of}", flush=True)
            cloudy, own = fold_rows(data, split.absolute(), of, folder / of.replace(" ", "_"), options)
            rows[of] += own
        rows["cloudy"] += cloudy
    for group, least in {"all images": 0.0, f"cover above {HALF:.0%}": HALF}.items():
        members = {row["name"] for row in rows["cloudy"] if row["image.cover"] > least}
        chosen = {method: [row for row in own if row["name"] in members] for method, own in rows.items()}
        print(f"{group}: {len(members)}")
        if members:
            lines = [as_line(method, own) for method, own in chosen.items()]
            lines.append(as_line("what radar adds", chosen["with radar"], chosen["without radar"]))
            print("\n".join(lines))


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", type=Path, help="folder of cloudy, label and s1")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder of the runs; a finished one is not trained again"
    )
    parser.add_argument("--folds", type=int, default=4, help="number of folds (4)")
    parser.add_argument("--cfg-options", nargs="+", default=[], metavar="KEY=VALUE", help="changes to the config")
    return parser


def main() -> None:
    """Print what radar adds on a folder of pairs."""
    args = build_parser().parse_args()
    try:
        measure(args.data, args.out, args.folds, args.cfg_options)
    except UserError as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
