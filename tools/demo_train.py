"""The whole path in minutes, without a download: train, evaluate, clear a scene, look at it: `make demo-train`.

What is there already is kept, so that a second run is quick and an interrupted one is resumed.
"""

import shutil
import sys
from pathlib import Path

from declouds.cli import main as declouds

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "configs" / "de_simulated.py"


def demo(folder: Path) -> None:
    """Run every step into ``folder``."""
    run, scores, weights = folder / "run", folder / "scores", folder / "run" / "model.safetensors"
    scene, cleared, picture = folder / "scene.tif", folder / "scene_without_clouds.tif", folder / "before_after.png"

    say("1/4 training a small Diffusion Enhancement through all its stages, on simulated thin clouds")
    if not weights.exists():
        declouds(
            ["train", str(CONFIG), "--work-dir", str(run), *(["--resume"] if (run / "config.py").exists() else [])]
        )
    say("2/4 measuring it on simulated images it has never seen: cloudy, prior alone, diffusion alone, DE")
    if not (scores / "results.json").exists():
        shutil.rmtree(scores, ignore_errors=True)
        declouds(["test", str(CONFIG), str(weights), "--variants", "--save-images", "--out", str(scores)])
    print((scores / "table.txt").read_text())
    say("3/4 clearing a georeferenced scene")
    if not scene.exists():
        from declouds.simulation.simulated_scene import simulate_scene

        simulate_scene(scene, height=640, width=768, seed=2, nodata=0, cloud="thin")
    if not cleared.exists():
        declouds(["predict", str(scene), "-o", str(cleared), "--checkpoint", str(weights), "--tile", "192"])
    say("4/4 drawing the scene before and after")
    draw(scene, cleared, scene.with_name("scene_clear.tif"), picture)
    print(f"\nbefore and after:  {picture}\ntable, CSV, JSON:  {scores}")
    print(f"cleared scene:     {cleared}\nweights and logs:  {run}")


def say(text: str) -> None:
    """Announce a step."""
    print(f"\n=== {text}", flush=True)


def draw(scene: Path, cleared: Path, clear: Path, picture: Path) -> None:
    """Draw cloudy, cleared and true scene side by side, with the PSNR of the first two over the valid pixels."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import numpy as np

    from declouds.image_io import read_image

    images = {title: read_image(path) for title, path in (("cloudy", scene), ("cleared", cleared), ("truth", clear))}
    valid = images["truth"].any(axis=0)
    figure, axes = plt.subplots(1, 3, figsize=(15, 4.6), layout="constrained")
    for axis, (title, image) in zip(axes, images.items(), strict=True):
        error = np.mean((image[:, valid].astype(float) - images["truth"][:, valid]) ** 2)
        label = title if error == 0 else f"{title}: {10 * np.log10(255**2 / error):.1f} dB"
        print(label)
        axis.imshow(image.transpose(1, 2, 0))
        axis.set_title(label)
        axis.set_axis_off()
    figure.savefig(picture, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("demo_output")
    target.mkdir(parents=True, exist_ok=True)
    demo(target)
