"""Train every reference on one small budget, put DE on top, and write one table: `python tools/compare_references.py`.

Each reference keeps the network and the losses of its recipe in `configs/_base_/references`; images, iterations and
optimiser are those of the config's own reference stage. What is finished is kept, so an interrupted comparison goes on
when the same command is given again.
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from declouds.atomic_file import replacing
from declouds.errors import UserError

if TYPE_CHECKING:
    from mmengine.config import Config

ROOT = Path(__file__).resolve().parents[1]
RECIPES = ROOT / "configs" / "_base_" / "references"
SIDE = 256  # pixels, for operations and seconds


def compare(args: argparse.Namespace) -> None:
    """Train, measure and tabulate every reference."""
    from declouds.cli import main as declouds

    write_configs(args)
    rows = []
    for name in args.references:
        folder = args.out / name
        config, run, scores, costs = (folder / part for part in ("config.py", "run", "scores", "cost.json"))
        weights = run / "model.safetensors"
        print(f"\n=== {name}", flush=True)
        if not weights.exists():
            resume = ["--resume"] if (run / "config.py").exists() else []
            declouds(["train", str(config), "--work-dir", str(run), *resume])
        if not (scores / "results.json").exists():
            options = ["--variants", "--protocol", "both", "--overwrite"]  # what is there is half-written
            declouds(["test", str(config), str(weights), "--out", str(scores), *options])
        if not costs.exists():
            with replacing(costs) as temporary:
                temporary.write_text(json.dumps(cost(weights)))
        rows.append(row(label(name, args.without), scores, json.loads(costs.read_text())))
    table = "\n".join([*HEAD, *rows]) + "\n"
    with replacing(args.out / "table.md") as temporary:
        temporary.write_text(table)
    print(table)


def write_configs(args: argparse.Namespace) -> None:
    """Write the config of every reference; one that is there from before has to say the same.

    Raises:
        UserError: the config cannot be used, or a folder holds the results of another one.
    """
    from declouds.engine.config import read_config

    configs = {args.out / name / "config.py": config_of(args, name) for name in args.references}
    for path, config in configs.items():
        if path.exists() and read_config(path).to_dict() != config.to_dict():
            raise UserError(
                f"{path} is not what --config, --root, --denoiser-weights, --without and the recipe say now: give "
                f"another --out, or remove {path.parent}"
            )
    for path, config in configs.items():
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as temporary:
                config.dump(temporary)


def config_of(args: argparse.Namespace, name: str) -> "Config":
    """Return the config of one reference: its network and losses, the budget of all."""
    from declouds.engine.config import load_config, read_config

    config, recipe = load_config(args.config), read_config(RECIPES / f"{name}.py")
    if len(config.get("reference_stages", [])) != 1:
        raise UserError(f"{args.config}: give a config with one entry in reference_stages: it is the budget of all")
    kept = ("losses", "discriminator", "adversarial_loss", "gradient_penalty")
    (budget,), (stage,) = config.reference_stages, recipe.reference_stages
    own = {key: stage[key] for key in kept if key in stage}
    if "losses" in own:
        own["losses"] = [loss for loss in own["losses"] if loss["type"] not in args.without]
    config.model.reference = recipe.model.reference
    config.reference_stages = [{**budget, **own}]
    if args.root is not None:
        config.datamodule.root = str(args.root)
    config.denoiser_weights = str(args.denoiser_weights)
    return config


def label(name: str, without: list[str]) -> str:
    """Return what the table calls a reference: its name, and the losses of its recipe that it was trained without."""
    from declouds.engine.config import read_config

    (stage,) = read_config(RECIPES / f"{name}.py").reference_stages
    left_out = [loss["type"] for loss in stage.get("losses", []) if loss["type"] in without]
    return f"{name}, without {' and '.join(left_out)}" if left_out else name


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


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    recipes = sorted(path.stem for path in RECIPES.glob("*.py"))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--config", type=Path, default=ROOT / "configs" / "small" / "references_rice1.py")
    parser.add_argument("--root", type=Path, help="folder of the data (the one that the config says)")
    parser.add_argument("--denoiser-weights", type=Path, required=True, help="weights of configs/small/de_rice1.py")
    parser.add_argument(
        "--references", nargs="+", choices=recipes, default=recipes, metavar="NAME", help="recipes to compare (all)"
    )
    parser.add_argument(
        "--without",
        nargs="+",
        default=[],
        metavar="LOSS",
        help="losses to leave out of all recipes (Perceptual, if there are no weights of VGG16)",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of runs, scores and table")
    return parser


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the arguments, and check what can be checked before any work."""
    from declouds.registry import LOSSES

    args = build_parser().parse_args(arguments)
    for name in args.without:
        LOSSES.find(name)
    if not args.denoiser_weights.is_file():
        raise UserError(
            f"--denoiser-weights {args.denoiser_weights} does not exist: declouds train configs/small/de_rice1.py "
            "makes it"
        )
    if args.root is not None and not args.root.is_dir():
        raise UserError(f"--root {args.root} does not exist: give the folder of the data")
    return args


def main(arguments: list[str] | None = None) -> None:
    """Run the tool; what the user can mend ends in one line and exit code 2."""
    try:
        compare(parse(arguments))
    except UserError as error:
        print(f"compare_references: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
