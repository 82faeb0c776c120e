"""Make pairs with other dates from a folder of dates of one place: `python tools/dates_of_one_place.py FOLDER OUT`.

The folder is that of `measure_dates.py`. OUT becomes a data set for `PairedFolder(split="folders")`: `cloud`, `label`,
`mask` and a folder for each other date. Clouds of `train` and `val` are simulated over clear dates; the two dates under
those of `val` are not in `train`. `test` are the two targets under real clouds, and the dates that their truth is made
of are in nothing else.
"""

import argparse
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from measure_dates import APART, CLEAR, COVER, PEAK, REAL, TRIES, WAVELENGTHS, cloud_of, days_from, read

from declouds.errors import UserError
from declouds.image_io import write_image
from declouds.simulation.cloud_kinds import draw_clouds
from declouds.simulation.noise import fractal_noise
from declouds.wavelengths import sees_ground

DATES = ("before", "after", "earlier", "later")  # folders; the last two lie beyond the first two
HELD_OUT = ("2018-06-10", "2018-08-24")
KNOWN = tuple(day for day in CLEAR if all(day not in around for _, around in REAL.values()))
TRAIN = tuple(day for day in KNOWN if day not in HELD_OUT)
DRAWS = dict(train=8, val=4)
NEAREST = 2  # dates of which the one before, and the one after, is drawn in training
SEASON = 0.4  # of the change between two other dates is at most added to a target in training
SHADOW = 0.25  # of the light at most, between the clouds
HAZE = ((2.5, 0.02), (0.0, 0.03))  # exponents of -wavelength, and reflectance at 0.55 micrometres at most, as in `Air`
AIR_SCALE, SMOOTH = 128, 4.0  # pixels across the largest patches of either, and the slope of `fractal_noise`


class Case(NamedTuple):
    """A cloudy image and its truth (C, H, W), in ten-thousandths of reflectance, and the days of the other dates."""

    name: str
    cloudy: np.ndarray
    clear: np.ndarray
    others: Mapping[str, str]


def beside(before: Sequence[str], after: Sequence[str]) -> dict[str, str]:
    """Return the days of the other dates by their folders; ``before`` ends, and ``after`` begins, with the nearest."""
    sides = (before[::-1], after) * 2
    return {
        name: side[place // 2]
        for place, (name, side) in enumerate(zip(DATES, sides, strict=True))
        if side[place // 2 :]
    }


def airy(clear: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a clear image with haze and shadow over all of it. Units: reflectance."""
    light, seen = np.array(WAVELENGTHS) / 0.55, np.array([sees_ground(one) for one in WAVELENGTHS])

    def amount(most: float) -> np.ndarray:
        pattern: np.ndarray = fractal_noise(rng, *clear.shape[1:], SMOOTH, AIR_SCALE)
        return rng.uniform(0, most) * (1 + rng.uniform(0, 1) * np.clip(pattern, -1, 1))

    image = clear * (1 - amount(SHADOW))
    for exponent, most in HAZE:
        image = image + (seen * light**-exponent)[:, None, None] * amount(most)
    return image.clip(0, 1)


def clouded(truth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a clear image under clouds, that cover neither little nor all if some of a few draws do."""
    for _ in range(TRIES):
        hazy = airy(truth / PEAK, rng)
        image = PEAK * draw_clouds(hazy, rng, WAVELENGTHS, dict(thick=2, mixed=1)).cloudy
        if COVER[0] < cloud_of(image, truth).mean() < COVER[1]:
            break
    return image


def simulated(images: Mapping[str, np.ndarray], part: str) -> Iterator[Case]:
    """Yield the cases of `train` or `val`.

    In training the other dates are not always the nearest, and some of the change between two days is added to the
    target, so that it does not lie on the line between the dates: how it differs has to be seen on its clear ground.
    """
    for target in TRAIN if part == "train" else HELD_OUT:
        before = [day for day in TRAIN if days_from(target, day) <= -APART]
        after = [day for day in TRAIN if days_from(target, day) >= APART]
        for draw in range(DRAWS[part] if before and after else 0):
            rng = np.random.default_rng([draw, int(target.replace("-", ""))])
            truth, others = images[target], beside(before, after)
            if part == "train":
                first, last = (int(rng.integers(min(NEAREST, len(side)))) for side in (before, after))
                others = beside(before[: len(before) - first], after[last:])
                one, other = rng.choice(TRAIN, 2, replace=False)
                truth = (truth + rng.uniform(0, SEASON) * (images[one] - images[other])).clip(1, PEAK)
            yield Case(f"{target}_{draw}", clouded(truth, rng), truth, others)


def real(images: Mapping[str, np.ndarray]) -> Iterator[Case]:
    """Yield the two targets under real clouds."""
    for target, ((before, after), around) in REAL.items():
        others = beside([day for day in KNOWN if day <= before], [day for day in KNOWN if day >= after])
        yield Case(target, images[target], np.mean([images[day] for day in around], 0), others)


def write(folder: Path, out: Path, dates: int) -> None:
    """Write the pairs with so many other dates.

    Raises:
        UserError: ``out`` exists, or a date is missing.
    """
    if out.exists():
        raise UserError(f"{out} exists: give another folder, or remove it")
    images = {day: read(folder, day) for day in (*CLEAR, *REAL)}
    partial = out.with_name(f".{out.name}.partial")
    try:
        for part in ("train", "val", "test"):
            for case in real(images) if part == "test" else simulated(images, part):
                write_case(case, images, partial / part, dates)
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_case(case: Case, images: Mapping[str, np.ndarray], folder: Path, dates: int) -> None:
    """Write the images of a pair, and its mask of clouds."""
    layers = dict(cloud=case.cloudy, label=case.clear)
    layers |= {name: images[case.others[name]] for name in DATES[:dates] if name in case.others}
    layers = {name: layer.round().astype(np.uint16) for name, layer in layers.items()}
    layers["mask"] = cloud_of(case.cloudy, case.clear)[None].astype(np.uint8)
    for name, layer in layers.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        write_image(folder / name / f"{case.name}.tif", layer)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="GeoTIFFs called by their days, 13 bands of level 1C")
    parser.add_argument("out", type=Path, help="new folder of the data set")
    parser.add_argument("--dates", type=int, choices=range(1, 5), default=2, help="other dates of each image (2)")
    return parser


def main() -> None:
    """Write the data set."""
    args = build_parser().parse_args()
    try:
        write(args.folder, args.out, args.dates)
    except UserError as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
