"""Measure composites of other dates on pairs: `python tools/measure_composites.py data/dates --dates 1 2 4`.

The folder is one that `dates_of_one_place.py` has written. Printed are PSNR (peak 10,000), MAE in ten-thousandths of
reflectance and SAM in degrees, over all bands of the pixels in the mask: of the cloudy image, and of the median of the
first so many dates, with their own colours (keep) and with these matched to the clear ground of the image (match).
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from dates_of_one_place import DATES, PEAK

from declouds.errors import UserError
from declouds.evaluation.reflectance import measure_reflectance
from declouds.image_io import read_image
from declouds.references.composite import Composite
from declouds.sources import Source, image_source
from declouds.value_range import ValueRange
from declouds.wavelengths import SENTINEL2


def scores(folder: Path, name: str, dates: Sequence[int]) -> Iterator[tuple[str, np.ndarray]]:
    """Yield PSNR, MAE and SAM of the cloudy image and of each composite of an image in a part of the data set.

    Raises:
        UserError: the image has no such file of a date.
    """

    def layer(kind: str) -> torch.Tensor:
        return torch.from_numpy(read_image(folder / kind / name).astype(np.float32))

    cloudy, clear, *others = (layer(kind) / (PEAK / 2) - 1 for kind in ("cloud", "label", *DATES[: max(dates)]))
    mask = layer("mask")

    def score(result: torch.Tensor) -> np.ndarray:
        found = measure_reflectance(result, clear, mask)
        return np.array([found["psnr.cloudy_pixels"], PEAK * found["mae.cloudy_pixels"], found["sam.cloudy_pixels"]])

    yield "cloudy", score(cloudy)
    image = image_source(len(cloudy), tuple(SENTINEL2), ValueRange(0, PEAK))
    for count in dates:
        days = [Source(day, "optical", image.bands, image.value_range) for day in DATES[:count]]
        inputs = [image, Source("image_cloud", "cloud", ("1",), (0, 1)), *days]
        channels = torch.cat([cloudy, 2 * mask - 1, *others[:count]])
        for colour in ("keep", "match"):
            prior = Composite(len(cloudy), len(channels), inputs, colour=colour)(channels[None])[0]
            yield f"{count} {colour}", score(prior)


def measure(data: Path, part: str, dates: Sequence[int]) -> None:
    """Print the scores of each image, and their mean.

    Raises:
        UserError: the part has no images.
    """
    names = sorted(path.name for path in (data / part / "cloud").glob("*.tif"))
    if not names:
        raise UserError(f"{data / part}: has no pairs: write them with tools/dates_of_one_place.py")
    found = {name: dict(scores(data / part, name, dates)) for name in names}
    found["mean"] = {kind: np.mean([one[kind] for one in found.values()], 0) for kind in found[names[0]]}
    print("image            dates         PSNR    MAE    SAM")
    for name, kinds in found.items():
        for kind, (psnr, mae, sam) in kinds.items():
            print(f"{Path(name).stem:15}  {kind:10}  {psnr:6.2f} {mae:6.0f} {sam:6.2f}")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", type=Path, help="data set of tools/dates_of_one_place.py")
    parser.add_argument("--split", choices=("train", "val", "test"), default="test", help="part of it (test)")
    parser.add_argument("--dates", type=int, nargs="+", choices=range(1, 5), default=[2], help="numbers of dates (2)")
    return parser


def main() -> None:
    """Print the scores of a data set."""
    args = build_parser().parse_args()
    try:
        measure(args.data, args.split, args.dates)
    except UserError as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
