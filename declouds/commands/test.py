"""`declouds test`: a trained model on the images of its config's data set."""

import argparse
from pathlib import Path
from typing import Any

HELP = "measure a trained model on a data set"
VARIANTS = ("cloudy", "prior", "diffusion")
STAGE_OF_PART = {"train": "fit", "val": "validate", "test": "test"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "config", type=Path, help="config file; its test_datamodule, or else its datamodule, gives the images"
    )
    parser.add_argument("checkpoint", type=Path, help="weights file (.safetensors) of a model of this config")
    parser.add_argument("--split", choices=tuple(STAGE_OF_PART), default="test", help="which part of the data set")
    parser.add_argument("--protocol", choices=("official", "standard", "both"), default="both")
    parser.add_argument(
        "--variants", action="store_true", help="measure cloudy, prior and diffusion without fusion too"
    )
    parser.add_argument(
        "--variant", action="append", default=[], choices=VARIANTS, help="measure this one of them (may be repeated)"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="write CSV, JSON and the table into this folder")
    parser.add_argument("--save-images", action="store_true", help="write results and comparisons into --out as well")
    parser.add_argument(
        "--lpips-weights", type=Path, metavar="FILE", help="AlexNet's layers (else a cache or a download)"
    )
    parser.add_argument("--batch-size", type=int, default=1, metavar="N", help="images predicted at a time")
    parser.add_argument(
        "--tile", type=int, metavar="N", help="predict in overlapping windows of N pixels, not at full size"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of the start noise, which also depends on the image's name"
    )
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda, cuda:1, ...")
    parser.add_argument("--overwrite", action="store_true", help="replace result files that exist")
    parser.add_argument(
        "--cfg-options", nargs="+", default=[], metavar="KEY=VALUE", help="override entries of the config"
    )


def run(args: argparse.Namespace) -> None:
    """Check everything, then predict, measure, print and write."""
    _check_arguments(args)

    from declouds.download import file_digest
    from declouds.evaluation.evaluate_model import evaluate_model
    from declouds.evaluation.load_checked import load_checked
    from declouds.evaluation.lpips_net import load_lpips
    from declouds.evaluation.protocols import PROTOCOLS, check_protocols
    from declouds.evaluation.signatures import SIGNATURES
    from declouds.evaluation.tables import Evaluation, print_tables, write_evaluation
    from declouds.hardware import keep_freed_memory, pick_device
    from declouds.registry import DATAMODULES
    from declouds.runs.machine import device_name, machine_facts
    from declouds.runs.meter import Meter
    from declouds.training.config import load_config
    from declouds.weights.zoo import find_weights

    keep_freed_memory()
    config = load_config(args.config, args.cfg_options)
    protocols = check_protocols([args.protocol])
    datamodule = DATAMODULES.build(config.get("test_datamodule", config.datamodule))
    datamodule.setup(STAGE_OF_PART[args.split])
    dataset = _dataset(datamodule, args.split)
    device = pick_device(args.device)
    model = load_checked(args.checkpoint, config, datamodule, dataset[0], device)
    weights = {"file": str(args.checkpoint), "sha256": file_digest(find_weights(str(args.checkpoint)))}
    lpips = load_lpips(args.lpips_weights)
    seconds: dict[str, float] = {}
    with Meter(device) as meter:
        methods = evaluate_model(
            model,
            dataset,
            protocols=protocols,
            lpips=lpips,
            seed=args.seed,
            batch_size=args.batch_size,
            variants=args.variants or args.variant,
            tile=args.tile,
            on_image=_picture_writer(args, model, datamodule.value_range) if args.save_images else None,
            seconds=seconds,
        )
        cost = meter.readings()
    evaluation = Evaluation(
        protocols={name: PROTOCOLS[name] for name in protocols} | {"signature": SIGNATURES},
        methods=methods,
        split={"part": args.split, **datamodule.split_record()[args.split]},
        compared=[("DE", "prior")] if "prior" in methods else [],
        about={
            "config": str(args.config),
            "cfg_options": args.cfg_options,
            "checkpoint": str(args.checkpoint),
            "seed": args.seed,
            "tile": args.tile,
            "device": str(device),
            "trained_on": model.record.get("splits"),
            "weights": weights,
            "devices": [device_name(device)],
            "seconds_an_image": {method: taken / len(dataset) for method, taken in seconds.items()},
            **cost,
            **machine_facts(),
        },
    )
    print_tables(evaluation)
    if args.out is not None:
        write_evaluation(evaluation, args.out, args.overwrite)
        print(f"written to {args.out}")


def _check_arguments(args: argparse.Namespace) -> None:
    from declouds.errors import UserError
    from declouds.evaluation.tables import check_free
    from declouds.scenes.sampling.tiles import check_tiling

    if args.batch_size < 1:
        raise UserError(f"--batch-size {args.batch_size}: at least one image is predicted at a time")
    if args.seed < 0:
        raise UserError(f"--seed {args.seed}: give 0 or more")
    if args.tile is not None:
        check_tiling(args.tile, args.tile // 4)
    if args.save_images and args.out is None:
        raise UserError("--save-images needs a folder: give --out DIR")
    if args.out is not None:
        check_free(args.out, args.overwrite)
        if args.save_images and not args.overwrite:
            for folder in (args.out / "results", args.out / "comparisons"):
                if folder.exists():
                    raise UserError(f"{folder} is there already: choose another --out, or give --overwrite")


def _dataset(datamodule: Any, part: str) -> Any:
    from declouds.errors import UserError

    dataset = getattr(datamodule, f"{part}_dataset", None)
    if not dataset:
        raise UserError(f"the data set has no {part} images: choose another --split, or list some in its split file")
    return dataset


def _picture_writer(args: argparse.Namespace, model: Any, units: Any) -> Any:
    """Return what `evaluate_model` calls with each image: it writes the result and a comparison."""
    from declouds.report.pictures import write_result, write_side_by_side

    results, comparisons = args.out / "results", args.out / "comparisons"
    for folder in (results, comparisons):
        folder.mkdir(parents=True, exist_ok=True)

    def write(sample: dict[str, Any], images: dict[str, Any]) -> None:
        *_, result = images.values()  # the model itself comes last
        shown = [sample["cloudy"], result, sample["clear"]]
        if getattr(model, "fusion", None) is not None:
            prior = images.get("prior")
            if prior is None:
                prior = model.prior(sample["cloudy"][None].to(result.device), [sample["name"]])[0]
            shown.insert(1, prior)
        write_result(results, sample["name"], result, units, args.overwrite)
        write_side_by_side(comparisons, sample["name"], shown, args.overwrite)

    return write
