"""Measure cloud detectors against masks: `python tools/measure_detectors.py FOLDER --bands blue,green,red,nir`.

The folder holds images ``NAME.tif``, each with its mask ``NAME_mask.tif`` of the same size: 1 cloud, 0 clear, anything
else not known. Pixels of all images count together. `OwnChange` is measured with the general model, or --checkpoint, in
the range of values that `declouds predict` finds in each image.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import rasterio
from rasterio import DatasetReader, windows

from declouds import load_model
from declouds.errors import UserError
from declouds.registry import CLOUD_DETECTORS
from declouds.scenes.sampling.cloud_mask import detect_clouds
from declouds.scenes.sampling.scene_range import find_range
from declouds.scenes.sampling.tiles import Window
from declouds.units import Units
from declouds.value_range import ValueRange

COLOURS = ("red", "green", "blue")


def measure(
    name: str, pairs: Sequence[tuple[Path, Path]], bands: Sequence[str], top: float, checkpoint: str
) -> list[float]:
    """Return F1, precision and recall of a detector that looks for clouds and not for their shadows.

    Args:
        name: of the detector.
        pairs: images and masks.
        bands: names of the images' bands.
        top: stored value that stands for a reflectance of 1; 0 stands for 0.
        checkpoint: weights of the model whose changes `OwnChange` looks at.
    """
    detect = _own_change(bands, checkpoint) if name == "OwnChange" else _by_reflectance(name, bands, top)
    both = found = there = 0
    for image, mask in pairs:
        with rasterio.open(image) as file, rasterio.open(mask) as classes:
            cloud, truth = detect(file), classes.read(1)
        known = truth <= 1
        both += int((cloud & (truth == 1)).sum())
        found += int((cloud & known).sum())
        there += int((truth == 1).sum())
    return [2 * both / max(found + there, 1), both / max(found, 1), both / max(there, 1)]


def _by_reflectance(name: str, bands: Sequence[str], top: float) -> Callable[[DatasetReader], np.ndarray]:
    settings = {} if name == "BrightWhite" else {"shadow": False}
    detector = CLOUD_DETECTORS.build(dict(type=name, **settings), band_names=bands)
    return lambda file: detector(ValueRange(0, top).to_model(file.read()))


def _own_change(bands: Sequence[str], checkpoint: str) -> Callable[[DatasetReader], np.ndarray]:
    detector = CLOUD_DETECTORS.build(dict(type="OwnChange"), model=load_model(checkpoint))
    shown = [bands.index(name) + 1 for name in COLOURS]

    def detect(file: DatasetReader) -> np.ndarray:
        def read(window: Window) -> tuple[np.ndarray, np.ndarray]:
            place = windows.Window(window.col, window.row, window.width, window.height)
            return file.read(shown, window=place), file.dataset_mask(window=place) > 0

        stored = find_range(file.name, read, file.height, file.width, Units()).stored
        cloud = np.zeros(file.shape, bool)
        for window, found in detect_clouds(detector, read, stored, file.height, file.width):
            cloud[window.slices] = found
        return cloud

    return detect


def build_parser() -> argparse.ArgumentParser:
    """Return the parser."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="images and masks")
    parser.add_argument("--bands", required=True, metavar="B,B,...", help="names of the images' bands")
    parser.add_argument("--top", type=float, default=10000, metavar="V", help="value of reflectance 1 (10000)")
    parser.add_argument("--checkpoint", default="general", metavar="FILE", help="model of OwnChange (general)")
    parser.add_argument("--detectors", nargs="+", default=["BrightWhite"], metavar="NAME", help="(BrightWhite)")
    return parser


def main() -> None:
    """Print a table."""
    args = build_parser().parse_args()
    pairs = [(mask.with_name(mask.name.replace("_mask", "")), mask) for mask in sorted(args.folder.glob("*_mask.tif"))]
    if not pairs:
        raise SystemExit(f"{args.folder}: holds no mask (*_mask.tif): give the folder of images and masks")
    print("| detector | F1 | precision | recall |\n|---|---|---|---|")
    for name in args.detectors:
        try:
            figures = measure(name, pairs, args.bands.split(","), args.top, args.checkpoint)
        except UserError as error:
            raise SystemExit(str(error)) from error
        print(f"| {name} | {' | '.join(f'{figure:.3f}' for figure in figures)} |", flush=True)


if __name__ == "__main__":
    main()
