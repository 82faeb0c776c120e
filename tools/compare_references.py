"""Train every reference on one small budget, put DE on top, and write one table: `python tools/compare_references.py`.

Each reference keeps the network and the losses of its recipe in `configs/_base_/references`; images, iterations and
optimiser are those of the config's own reference stage. What is finished is kept, so an interrupted comparison goes on.
"""

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RECIPES = ROOT / "configs" / "_base_" / "references"
SIDE = 256  # pixels, for operations and seconds


def compare(args: argparse.Namespace) -> None:
    """Train, measure and tabulate every reference."""
    from declouds.cli import main as declouds

    rows = []
    for name in args.references or sorted(path.stem for path in RECIPES.glob("*.py")):
        folder = args.out / name
        folder.mkdir(parents=True, exist_ok=True)
        config, run, scores = folder / "config.py", folder / "run", folder / "scores"
        if not config.exists():
            write_config(args, name, config)
        weights = run / "model.safetensors"
        print(f"\n=== {name}", flush=True)
        if not weights.exists():
            resume = ["--resume"] if (run / "config.py").exists() else []
            declouds(["train", str(config), "--work-dir", str(run), *resume])
        if not (scores / "results.json").exists():
            declouds(["test", str(config), str(weights), "--variants", "--protocol", "both", "--out", str(scores)])
        if not (folder / "cost.json").exists():
            (folder / "cost.json").write_text(json.dumps(cost(weights)))
        rows.append(row(name, scores, json.loads((folder / "cost.json").read_text())))
    (args.out / "table.md").write_text("\n".join([*HEAD, *rows]) + "\n")
    print((args.out / "table.md").read_text())


def write_config(args: argparse.Namespace, name: str, target: Path) -> None:
    """Write the config of one reference: its network and losses, the budget of all."""
    from mmengine.config import Config

    config = Config.fromfile(args.config, lazy_import=False)
    recipe = Config.fromfile(RECIPES / f"{name}.py", lazy_import=False)
    kept = ("losses", "discriminator", "adversarial_loss", "gradient_penalty")
    (budget,), (stage,) = config.reference_stages, recipe.reference_stages
    config.model.reference = recipe.model.reference
    config.reference_stages = [{**budget, **{key: stage[key] for key in kept if key in stage}}]
    config.datamodule.root = str(args.root)
    config.denoiser_weights = str(args.denoiser_weights)
    config.dump(target)


def cost(weights: Path) -> dict[str, Any]:
    """Return parameters, operations (two a multiplication and addition) and seconds of reference and of DE."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from declouds import load_model

    model = load_model(str(weights))
    cloudy, noise = torch.zeros(1, model.in_bands, SIDE, SIDE), torch.zeros(1, model.bands, SIDE, SIDE)
    passes = dict(prior=lambda: model.prior(cloudy), de=lambda: model.predict(cloudy, noise))
    figures: dict[str, Any] = dict(parameters=sum(value.numel() for value in model.reference.parameters()))
    for name, call in passes.items():
        with FlopCounterMode(display=False) as counter:
            call()
        seconds = []
        for _ in range(3):
            started = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - started)
        figures[name] = dict(gflops=counter.get_total_flops() / 1e9, seconds=statistics.median(seconds))
    figures["threads"] = torch.get_num_threads()
    return figures


HEAD = (
    "| reference | parameters | GFLOPs, prior / DE | s an image, prior / DE | official PSNR: prior | DE | DE - prior "
    "| SSIM: prior | DE | LPIPS: prior | DE | standard PSNR: prior | DE |",
    "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
)


def row(name: str, scores: Path, figures: dict[str, Any]) -> str:
    """Return one line of the table."""
    results = json.loads((scores / "results.json").read_text())
    summary = {method: content["summary"] for method, content in results["methods"].items()}

    def mean(method: str, metric: str, digits: int) -> str:
        value = summary[method].get(metric)  # LPIPS is left out where its weights are missing
        return "-" if value is None else f"{value['mean']:.{digits}f}"

    def interval(value: dict[str, float], sign: str = "") -> str:
        return f"{value['mean']:{sign}.2f} [{value['low']:{sign}.2f}, {value['high']:{sign}.2f}]"

    cells = [
        name,
        f"{figures['parameters'] / 1e6:.2f} M",
        " / ".join(f"{figures[part]['gflops']:.0f}" for part in ("prior", "de")),
        " / ".join(f"{figures[part]['seconds']:.2f}" for part in ("prior", "de")),
        *(interval(summary[method]["official.psnr"]) for method in ("prior", "DE")),
        interval(results["differences"]["DE - prior"]["official.psnr"], "+"),
    ]
    for metric, digits in (("official.ssim", 4), ("official.lpips", 4), ("standard.psnr", 2)):
        cells += [mean("prior", metric, digits), mean("DE", metric, digits)]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--config", type=Path, default=ROOT / "configs" / "small" / "references_rice1.py")
    parser.add_argument("--root", type=Path, default=Path("data/rice1"), help="folder of the data")
    parser.add_argument("--denoiser-weights", type=Path, required=True, help="weights of configs/small/de_rice1.py")
    parser.add_argument("--references", nargs="+", metavar="NAME", help="recipes to compare (all)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of runs, scores and table")
    compare(parser.parse_args())
