"""Measure a model of any units as its users run it: `python tools/measure_general.py DATA --sets rice1 thin clear`.

DATA holds the folders rice1, rice2 (cloud, label, split.json), s1s2 (cloudy, label), ucmerced and eurosat_rgb (train,
test), s2_timeseries (one GeoTIFF a date) and oncloudn. Whole images are cleared (no mask), in the range of values that
is found in each. PSNR is over red, green and blue, at most 100 dB; its peak is 255, or 10,000 for reflectances.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import rasterio

import declouds
from declouds.datamodules.clouded_images import CloudedImagesDataset
from declouds.models import CloudRemover

CLOUDED = dict(thin=dict(thin=1), thick=dict(thick=1, masks=1), clear=dict(clear=1))
CHANGED = 400  # ten-thousandths of reflectance: what differs by more from the truth is cloud
DATES = {"2018-07-05": ("2018-06-25", "2018-07-20"), "2018-09-18": ("2018-09-03", "2018-09-28")}


class Pair(NamedTuple):
    """A cloudy and a clear image (3, H, W), the value of their peak, and the pixels to measure (H, W), if not all."""

    cloudy: np.ndarray
    clear: np.ndarray
    peak: float = 255.0
    where: np.ndarray | None = None


def pairs_of(data: Path, name: str) -> Iterator[Pair]:
    """Give the pairs of a set."""
    if name in ("rice1", "rice2"):
        for image in json.loads((data / name / "split.json").read_text())["test"]:
            files = [next((data / name / part).glob(f"{Path(image).stem}.*")) for part in ("cloud", "label")]
            yield Pair(*map(_read, files))
    elif name == "s1s2":
        for path in sorted((data / name / "cloudy").glob("*.tif")):
            cloudy, clear = (_read(data / name / part / path.name, (4, 3, 2)) for part in ("cloudy", "label"))
            yield Pair(cloudy, clear, 10_000)
    elif name == "s2_timeseries":
        for target, around in DATES.items():
            cloudy, *clear = (_read(data / name / f"{day}.tif", (4, 3, 2)) for day in (target, *around))
            truth = np.mean(clear, axis=0)
            yield Pair(cloudy, truth, 10_000, (np.abs(cloudy - truth) > CHANGED).any(axis=0))
    elif name == "eurosat":
        for path in sorted((data / "eurosat_rgb" / "test").rglob("*.jpg")):
            yield Pair(_read(path), _read(path))
    else:
        dataset = CloudedImagesDataset(
            data / "ucmerced", "test", "folders", shares=CLOUDED[name], val=None, cloud_masks=data / "oncloudn"
        )
        for index in range(len(dataset)):
            sample = dataset.load(index)
            yield Pair(sample.cloudy, sample.clear)


def psnr(image: np.ndarray, pair: Pair) -> float:
    """Return the PSNR in dB, at most 100."""
    squares = (image.astype(float) - pair.clear) ** 2
    if pair.where is not None:
        squares = squares[:, pair.where]
    return float(min(10 * np.log10(pair.peak**2 / max(squares.mean(), 1e-12)), 100))


def measure(pairs: Iterator[Pair], model: CloudRemover) -> str:
    """Return a row of the table."""
    before, after = [], []
    for pair in pairs:
        before.append(psnr(pair.cloudy, pair))
        after.append(psnr(declouds.remove_clouds(pair.cloudy, model, mask="none"), pair))
    change = np.subtract(after, before)
    return (
        f"{np.mean(before):.2f} dB | {np.mean(after):.2f} dB | {(change > 0).sum()} of {len(change)} | "
        f"{change.min():+.2f} dB"
    )


def _read(path: Path, bands: tuple[int, ...] = (1, 2, 3)) -> np.ndarray:
    with rasterio.open(path) as file:
        values: np.ndarray = file.read(bands)
    return values


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of the data sets")
    known = ["rice1", "rice2", "s1s2", "s2_timeseries", *CLOUDED, "eurosat"]
    parser.add_argument("--sets", nargs="+", choices=known, default=known)
    parser.add_argument("--checkpoint", default="general", metavar="FILE", help="weights (general)")
    return parser


def main() -> None:
    """Print the table."""
    args = build_parser().parse_args()
    model = declouds.load_model(args.checkpoint)
    print("| images | cloudy | cleared | better | worst change |\n|---|---|---|---|---|")
    for name in args.sets:
        print(f"| {name} | {measure(pairs_of(args.data, name), model)} |", flush=True)


if __name__ == "__main__":
    main()
