"""Clear a real scene and simulated clouds with the default weights, in about a minute. `make demo` runs this.

``--picture docs/img/demo.jpg`` draws the picture of the README from the same run.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from declouds.cli import main as declouds
from declouds.errors import UserError
from declouds.image_io import read_image, write_image
from declouds.simulation.cloud_kinds import Clouded, draw_clouds
from declouds.wavelengths import wavelengths_of

IMAGES = Path(__file__).with_name("demo_images")
BAHAMAS, AERIAL = IMAGES / "bahamas.tif", IMAGES / "aerial.jpg"
SEED = 61  # haze and a few thick clouds; chosen by its looks, before any model had seen it
THICKNESS = 0.4, 1.4  # optical depth of the haze
WIDTH, GAP = 1200, 6  # pixels of the picture, and between its panels
DARK = "#202428"


def demo(folder: Path, picture: Path, checkpoint: str | None = None) -> None:
    """Clear both images into ``folder``, print the scores of the one whose truth is known, and draw ``picture``.

    Files of an earlier run are replaced.

    Raises:
        UserError: a folder cannot be created or written to, or that of the picture does not exist.
        SystemExit: `declouds predict` failed, and has printed why.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot create this folder ({error.strerror}): give another one") from error
    if not picture.parent.is_dir():
        raise UserError(f"{picture.parent} is not a folder: create it, or draw the picture somewhere else")
    bahamas, aerial = folder / "bahamas_cleared.tif", folder / "aerial_cleared.png"
    say("1/2 a real Landsat scene of the Bahamas")
    predict(BAHAMAS, bahamas, checkpoint)
    say("2/2 four aerial images under simulated clouds")
    pixels = np.rint(255 * clouded_aerial().cloudy).astype(np.uint8)
    cloudy = write_image(folder / "aerial_cloudy.png", pixels, overwrite=True)
    predict(cloudy, aerial, checkpoint)
    results = {"cloudy": cloudy, "cleared": aerial}
    scores = {name: score(read_image(path)) for name, path in results.items()}
    print("\nagainst the truth    PSNR    SSIM")
    for name, (psnr, ssim) in scores.items():
        print(f"{name:18}{psnr:5.2f} dB   {ssim:.4f}")

    scene = {"before": BAHAMAS, "after": bahamas}
    simulated = {f"{name}: {scores[name][0]:.1f} dB": path for name, path in results.items()}
    draw([scene, simulated | {"truth": AERIAL}], picture)
    print(f"\nall of it in one picture: {picture}\nmove the line between before and after: open in a browser")
    for page in (bahamas.with_suffix(".html"), aerial.with_name("aerial_cleared_preview.html")):
        print(f"  {page.resolve().as_uri()}")


def clouded_aerial() -> Clouded:
    """Return the aerial images under haze and a few thick clouds, always the same ones. Units: [0, 1]."""
    clear, wavelengths = read_image(AERIAL).astype(np.float32) / 255, wavelengths_of(("red", "green", "blue"))
    return draw_clouds(clear, np.random.default_rng(SEED), wavelengths, {"mixed": 1}, THICKNESS)


def predict(source: Path, destination: Path, checkpoint: str | None) -> None:
    """Clear an image, print the command that does it, and how long it took."""
    weights = [] if checkpoint is None else ["--checkpoint", checkpoint]
    command = ["predict", str(source), "-o", str(destination), *weights, "--preview"]
    print("$ declouds", *command, flush=True)
    began = time.monotonic()
    declouds([*command, "--overwrite", "--restart"])
    print(f"{time.monotonic() - began:.0f} s, with loading the weights", flush=True)


def score(image: np.ndarray) -> tuple[float, float]:
    """Return PSNR (dB) and SSIM against the clear aerial images, by the `standard` protocol.

    Shapes: (3, H, W) uint8.
    """
    import torch

    from declouds.evaluation.standard import psnr_and_ssim

    result, clear = (torch.from_numpy(pixels / 127.5 - 1) for pixels in (image, read_image(AERIAL)))
    return psnr_and_ssim(result, clear)


def draw(rows: Sequence[dict[str, Path]], picture: Path) -> None:
    """Draw rows of labelled images that fill a dark picture, as JPEG. Images of a row have one size."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from declouds.atomic_file import replacing

    images = [{label: read_image(path).transpose(1, 2, 0) for label, path in row.items()} for row in rows]
    widths = [(WIDTH - GAP * (len(row) - 1)) / len(row) for row in images]
    shapes = [next(iter(row.values())).shape for row in images]
    heights = [round(width * shape[0] / shape[1]) for width, shape in zip(widths, shapes, strict=True)]
    height = sum(heights) + GAP * (len(rows) - 1)
    figure = plt.figure(figsize=(WIDTH / 100, height / 100), dpi=100, facecolor=DARK)
    bottom = height
    for row, width, tall in zip(images, widths, heights, strict=True):
        bottom -= tall
        for column, (label, image) in enumerate(row.items()):
            left = column * (width + GAP)
            axis = figure.add_axes((left / WIDTH, bottom / height, width / WIDTH, tall / height))
            axis.imshow(image, aspect="auto", interpolation="antialiased")
            axis.set_axis_off()
            box = dict(facecolor=DARK, edgecolor="none", alpha=0.8, pad=5)
            place = dict(xy=(0, 1), xycoords="axes fraction", xytext=(12, -12), textcoords="offset pixels", va="top")
            axis.annotate(label, **place, color="white", fontsize=13, bbox=box)
        bottom -= GAP
    with replacing(picture) as temporary:
        figure.savefig(temporary, format="jpg", pil_kwargs=dict(quality=85))
    plt.close(figure)


def say(text: str) -> None:
    """Announce a step."""
    print(f"\n=== {text}", flush=True)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("demo_output"), help="results (demo_output)")
    parser.add_argument("--picture", type=Path, metavar="JPG", help="picture of it all (FOLDER/before_after.jpg)")
    parser.add_argument("--checkpoint", metavar="FILE", help="other weights than those of the package")
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the demo; what the user can mend ends in one line and exit code 2."""
    args = build_parser().parse_args(arguments)
    try:
        demo(args.folder, args.picture or args.folder / "before_after.jpg", args.checkpoint)
    except UserError as error:
        print(f"demo: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
