"""Measure cloud detectors against masks: `python tools/measure_detectors.py FOLDER --bands blue,green,red,nir`.

The folder holds images ``NAME.tif``, each with its mask ``NAME_mask.tif`` of the same size: 1 cloud, 0 clear, anything
else not known. Pixels of all images count together.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import rasterio

from declouds.errors import UserError
from declouds.registry import CLOUD_DETECTORS
from declouds.value_range import ValueRange


def measure(name: str, pairs: Sequence[tuple[Path, Path]], bands: Sequence[str], top: float) -> list[float]:
    """Return F1, precision and recall of a detector that looks for clouds and not for their shadows.

    Args:
        name: of the detector.
        pairs: images and masks.
        bands: names of the images' bands.
        top: stored value that stands for a reflectance of 1; 0 stands for 0.
    """
    settings = {} if name == "BrightWhite" else {"shadow": False}
    detector = CLOUD_DETECTORS.build(dict(type=name, **settings), band_names=bands)
    both = found = there = 0
    for image, mask in pairs:
        with rasterio.open(image) as file, rasterio.open(mask) as classes:
            cloud, truth = detector(ValueRange(0, top).to_model(file.read())), classes.read(1)
        known = truth <= 1
        both += int((cloud & (truth == 1)).sum())
        found += int((cloud & known).sum())
        there += int((truth == 1).sum())
    return [2 * both / max(found + there, 1), both / max(found, 1), both / max(there, 1)]


def build_parser() -> argparse.ArgumentParser:
    """Return the parser."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="images and masks")
    parser.add_argument("--bands", required=True, metavar="B,B,...", help="names of the images' bands")
    parser.add_argument("--top", type=float, default=10000, metavar="V", help="value of reflectance 1 (10000)")
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
            figures = measure(name, pairs, args.bands.split(","), args.top)
        except UserError as error:
            raise SystemExit(str(error)) from error
        print(f"| {name} | {' | '.join(f'{figure:.3f}' for figure in figures)} |", flush=True)


if __name__ == "__main__":
    main()
