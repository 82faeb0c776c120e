"""Measure composites of dates on a folder of Sentinel-2 dates of one place: `python tools/measure_dates.py FOLDER`.

Two targets have real clouds, and the truth is the mean of the clear dates around them. The others are clear dates under
simulated clouds, with the clear dates 20 days or more before and after as sources. A pixel counts as cloud where it
differs from the truth by more than 400 of 10,000 in blue, green or red. Printed is the PSNR there, peak 10,000: with
the dates' own colours (keep), with these matched, and, for the real ones, with the best offset per band.
"""

import argparse
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

import numpy as np

from declouds.compositing.air import Air
from declouds.compositing.colour import match_colours
from declouds.compositing.composite import HOW, composite
from declouds.compositing.ground import Place, sample_ground
from declouds.errors import UserError
from declouds.image_io import read_image
from declouds.simulation.cloud_kinds import draw_clouds
from declouds.wavelengths import SENTINEL2

REAL = {  # target: other dates, and those whose mean is the truth
    "2018-07-05": (("2018-05-31", "2018-08-09"), ("2018-06-25", "2018-07-20")),
    "2018-09-18": (("2018-08-09", "2018-10-23"), ("2018-09-03", "2018-09-28")),
}
CLEAR = (
    *("2018-02-10", "2018-03-22", "2018-04-26", "2018-05-31", "2018-06-10", "2018-06-25", "2018-07-20", "2018-07-30"),
    *("2018-08-09", "2018-08-24", "2018-09-03", "2018-09-28", "2018-10-08", "2018-10-23", "2018-11-12"),
)
APART = 20  # days
WAVELENGTHS = tuple(SENTINEL2.values())
AIR = Air(WAVELENGTHS, np.zeros(len(WAVELENGTHS)))
KINDS = (dict(thick=0.5, mixed=0.5), dict(mixed=1.0), dict(thick=0.5, mixed=0.5))  # of clouds, one for each draw
COVER, TRIES = (0.1, 0.85), 9
PEAK, CHANGED, COLOURS = 10000, 400, slice(1, 4)


def read(folder: Path, day: str) -> np.ndarray:
    """Return a date. Shapes: (C, H, W) float32."""
    return read_image(folder / f"{day}.tif").astype(np.float32)


def days_from(target: str, day: str) -> int:
    """Return the days from a target to another date."""
    return (date.fromisoformat(day) - date.fromisoformat(target)).days


def cloud_of(image: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return where an image is cloudy."""
    return np.abs(image - truth)[COLOURS].max(0) > CHANGED


def clouded(truth: np.ndarray, target: str, draw: int) -> np.ndarray:
    """Return a clear image under simulated clouds, that cover neither little nor all if some of a few draws do."""
    rng = np.random.default_rng([draw, int(target.replace("-", ""))])
    for _ in range(TRIES):
        image = PEAK * draw_clouds(truth / PEAK, rng, WAVELENGTHS, KINDS[draw]).cloudy
        if COVER[0] < cloud_of(image, truth).mean() < COVER[1]:
            break
    return image


def psnr(errors: np.ndarray) -> float:
    """Return the PSNR of errors in sensor units."""
    return float(10 * np.log10(PEAK**2 / np.mean(errors**2)))


def score(
    image: np.ndarray, truth: np.ndarray, dates: np.ndarray, gaps: Sequence[float], how: str
) -> tuple[float, float, float]:
    """Return the PSNR with colours kept, with colours matched, and with the best offset per band."""
    cloud = cloud_of(image, truth)
    seen = np.ones((len(dates), *cloud.shape), bool)

    def part(values: np.ndarray, clear: np.ndarray, place: Place) -> tuple[np.ndarray, np.ndarray]:
        row, col, height, width = place
        here = (..., slice(row, row + height), slice(col, col + width))
        return values[here], clear[here]

    ground = sample_ground(
        lambda place: part(image, ~cloud, place), lambda place: part(dates, seen, place), *cloud.shape
    )
    matched = dates
    if ground is not None:
        matched = np.stack([match(one) for match, one in zip(match_colours(ground, AIR), dates, strict=True)])
    kept, fitted = ((composite(one, seen, gaps, how)[0] - truth)[:, cloud] for one in (dates, matched))
    return psnr(kept), psnr(fitted), psnr(kept - kept.mean(1, keepdims=True))


def simulated() -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield clear targets and their sources."""
    for target in CLEAR:
        before = [day for day in CLEAR if days_from(target, day) <= -APART]
        after = [day for day in CLEAR if days_from(target, day) >= APART]
        if before and after:
            yield target, (before[-1], after[0])


def measure(folder: Path, how: str) -> None:
    """Print the scores."""
    print("target      draw   keep  match  gain  best offset")
    for target, (others, around) in REAL.items():
        truth = np.mean([read(folder, day) for day in around], 0)
        dates = np.stack([read(folder, day) for day in others])
        gaps = [days_from(target, day) for day in others]
        kept, matched, best = score(read(folder, target), truth, dates, gaps, how)
        print(f"{target}  real  {kept:5.2f}  {matched:5.2f} {matched - kept:+5.2f}  {best:.2f}")
    gains = []
    for target, others in simulated():
        truth, dates = read(folder, target), np.stack([read(folder, day) for day in others])
        gaps = [days_from(target, day) for day in others]
        for draw in range(len(KINDS)):
            kept, matched, _ = score(clouded(truth, target, draw), truth, dates, gaps, how)
            gains.append(matched - kept)
            print(f"{target}  {draw:4}  {kept:5.2f}  {matched:5.2f} {gains[-1]:+5.2f}")
    print(f"simulated: gain {np.mean(gains):+.2f} dB in the mean, {min(gains):+.2f} at worst")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="GeoTIFFs called by their days, 13 bands of level 1C")
    parser.add_argument("--composite", choices=HOW, default="linear", help="see declouds predict (linear)")
    return parser


def main() -> None:
    """Print the scores of a folder."""
    args = build_parser().parse_args()
    try:
        measure(args.folder, args.composite)
    except UserError as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
