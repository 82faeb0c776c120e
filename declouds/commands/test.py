"""`declouds test`: measure a trained model on the data set of its config."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HELP = "measure a trained model on a data set"
STAGE_OF_PART = {"train": "fit", "val": "validate", "test": "test"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "config", type=Path, help="config file; images come from its test_datamodule, else its datamodule"
    )
    parser.add_argument("checkpoint", type=Path, help="weights file (.safetensors) of a model of this config")
    parser.add_argument(
        "--split", choices=tuple(STAGE_OF_PART), default="test", help="part of the data set (default: test)"
    )
    parser.add_argument("--protocol", choices=("official", "standard", "reflectance", "both"), default="both")
    parser.add_argument(
        "--variants", action="store_true", help="also measure the cloudy image and all variants of the model"
    )
    parser.add_argument(
        "--variant", action="append", default=[], metavar="NAME", help="also measure this variant (may be repeated)"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="write CSV, JSON and the table into this folder")
    parser.add_argument(
        "--save-images", action="store_true", help="also write result images and comparisons into --out"
    )
    parser.add_argument(
        "--lpips-weights", type=Path, metavar="FILE", help="AlexNet weights (default: cached or downloaded)"
    )
    parser.add_argument("--batch-size", type=int, default=1, metavar="N", help="images per batch (default: 1)")
    parser.add_argument(
        "--tile", type=int, metavar="N", help="clear in overlapping windows of N pixels, like `declouds predict`"
    )
    parser.add_argument("--precision", default="auto", help="fp32, bf16, or auto (default): bf16 where it is as good")
    parser.add_argument(
        "--steps",
        type=int,
        nargs="+",
        metavar="N",
        help="sampling steps (default: those recorded with the weights); several are compared",
    )
    parser.add_argument(
        "--record",
        type=Path,
        metavar="FILE",
        help="with --split val: write weights that record the fewest sufficient --steps, and whether bf16 suffices; "
        "with --samples the calibration of their spread",
    )
    parser.add_argument(
        "--samples",
        type=int,
        metavar="N",
        help="sample every image N times from other noise: CRPS, coverage, and whether the spread tells the error",
    )
    parser.add_argument(
        "--blend",
        default="joint",
        help="how to blend windows; joint: at every sampling step (default); final: once at the end",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of the start noise, which also depends on the image's name"
    )
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda, cuda:1, ...")
    parser.add_argument("--overwrite", action="store_true", help="replace result files that exist")
    parser.add_argument(
        "--cfg-options", nargs="+", default=[], metavar="KEY=VALUE", help="override entries of the config"
    )


def run(args: argparse.Namespace) -> None:
    """Check everything, then predict, measure, print and write."""
    from dataclasses import fields

    measure(Choices(**{field.name: getattr(args, field.name) for field in fields(Choices)}))


@dataclass(frozen=True)
class Choices:
    """The arguments of the command."""

    config: Path
    checkpoint: Path
    split: str = "test"
    protocol: str = "both"
    variants: bool = False
    variant: Sequence[str] = ()
    out: Path | None = None
    save_images: bool = False
    lpips_weights: Path | None = None
    batch_size: int = 1
    tile: int | None = None
    blend: str = "joint"
    precision: str = "auto"
    steps: Sequence[int] | None = None
    record: Path | None = None
    samples: int | None = None
    seed: int = 0
    device: str = "auto"
    overwrite: bool = False
    cfg_options: Sequence[str] = ()


def measure(args: Choices, only_existing: bool = False) -> None:
    """Measure a model on a data set.

    Args:
        args: the arguments of the command.
        only_existing: skip variants that the model lacks instead of raising an error.
    """
    _check_arguments(args)

    from declouds.digests import file_digest
    from declouds.errors import UserError
    from declouds.evaluation.evaluate_model import evaluate_model, variants_of
    from declouds.evaluation.inference_search import TOLERANCE, Search, search_inference
    from declouds.evaluation.load_checked import changed_sampling, load_checked
    from declouds.evaluation.lpips_net import load_lpips
    from declouds.evaluation.protocols import PROTOCOLS, check_protocols
    from declouds.evaluation.samples import SampleScores
    from declouds.evaluation.signatures import SIGNATURES
    from declouds.evaluation.statistics import Row
    from declouds.evaluation.tables import Evaluation, print_tables, write_evaluation
    from declouds.hardware import keep_freed_memory, pick_device
    from declouds.inference import spread_calibration
    from declouds.registry import DATAMODULES
    from declouds.runs.cost import Meter
    from declouds.runs.machine import device_name, machine_facts
    from declouds.training.config import load_config
    from declouds.weights.file import read_weights, save_weights
    from declouds.weights.zoo import find_weights

    keep_freed_memory()
    config = load_config(args.config, list(args.cfg_options))
    protocols = check_protocols([args.protocol])
    datamodule = DATAMODULES.build(config.get("test_datamodule", config.datamodule))
    datamodule.setup(STAGE_OF_PART[args.split])
    dataset = _dataset(datamodule, args.split)
    device = pick_device(args.device)
    precision = "fp32" if args.record else args.precision
    steps = args.steps[0] if args.steps else None
    model = load_checked(args.checkpoint, config, datamodule, dataset[0], device, precision, steps)
    stored = read_weights(args.checkpoint) if args.record else None
    if stored is not None and (changed := changed_sampling(stored.config, config.model.to_dict())):
        raise UserError(f"--record: the config changes {', '.join(changed)}: use that of the weights")
    scores = None
    if args.samples is not None:
        if not model.draws_noise:
            raise UserError(f"{args.checkpoint}: draws no noise, so all samples would be equal: leave out --samples")
        scores = SampleScores(args.samples, model.bands, None if args.record else spread_calibration(model))
    weights = {"file": str(args.checkpoint), "sha256": file_digest(find_weights(str(args.checkpoint)))}
    lpips = load_lpips(args.lpips_weights)
    seconds: dict[str, float] = {}
    chosen: Any = args.variants or args.variant
    if only_existing and not args.variants:
        chosen = [name for name in args.variant if name in variants_of(model)] if model.variants else []
    searched: Search | None = None

    def evaluate(model: Any, name: str | None = None) -> dict[str, list[Row]]:
        taken: dict[str, float] = {}
        methods = evaluate_model(
            model,
            dataset,
            protocols=protocols,
            lpips=lpips,
            seed=args.seed,
            batch_size=args.batch_size,
            variants=chosen,
            tiling=_tiling(args),
            on_image=_picture_writer(args, model, datamodule.value_range) if args.save_images else None,
            seconds=taken,
            scores=scores,
        )
        seconds.update(taken if name is None else {name: taken[model.method]})
        return methods

    with Meter(device) as meter:
        if scores is None and (args.record or len(args.steps or ()) > 1):
            searched = search_inference(
                model, args.steps or (), lambda model, name: evaluate(model, name)[model.method], bool(args.record)
            )
            methods, compared = searched.methods, searched.compared
        else:
            methods = evaluate(model)
            compared = [(model.method, model.baseline)] if model.baseline in methods else []
        cost = meter.readings()
    evaluation = Evaluation(
        protocols={name: PROTOCOLS[name] for name in protocols}
        | {"signature": SIGNATURES}
        | ({} if scores is None else {"samples": scores.describe()}),
        methods=methods,
        split={"part": args.split, **datamodule.split_record()[args.split]},
        compared=compared,
        about={
            "config": str(args.config),
            "cfg_options": list(args.cfg_options),
            "checkpoint": str(args.checkpoint),
            "seed": args.seed,
            "tile": args.tile,
            "blend": args.blend,
            "precision": model.precision,
            "steps": model.steps,
            "device": str(device),
            "trained_on": model.record.get("splits"),
            "weights": weights,
            "devices": [device_name(device)],
            "seconds_an_image": {method: taken / len(dataset) for method, taken in seconds.items()},
            **cost,
            **machine_facts(),
        },
        samples={} if scores is None else scores.content(),
    )
    print_tables(evaluation)
    if searched is not None:
        _print_search(searched, evaluation.about["seconds_an_image"])
    if args.out is not None:
        write_evaluation(evaluation, args.out, args.overwrite)
        print(f"written to {args.out}")
    if stored is not None and args.record is not None:
        if scores is not None:
            found = vars(scores.by_spread.fit(model.steps)) | dict(split=evaluation.split, tile=args.tile)
            inference, remark = stored.record.get("inference", {}) | dict(spread=found), _calibration(found)
        elif searched is not None:
            inference = searched.found | dict(tolerance=TOLERANCE, split=evaluation.split)
            remark = "" if "bf16" in searched.found else "; bf16 was not checked: this device does not compute it"
        record = stored.record | dict(inference=inference)
        save_weights(args.record, stored.config, stored.state_dict, record, args.overwrite)
        print(f"recorded in {args.record}{remark}")


def _calibration(found: dict[str, Any]) -> str:
    """Put a calibration into words."""
    a, b = (", ".join(f"{value:.4g}" for value in found[name]) for name in "ab")
    return f": error of the mean = sqrt(a^2 + (b * spread)^2) with a = {a}, b = {b} for the bands in order"


def _print_search(searched: Any, seconds: dict[str, float]) -> None:
    """Print what a setting costs, and which are enough."""
    from declouds.evaluation.inference_search import DOUBT, TOLERANCE

    lost = f"at most {TOLERANCE} dB of PSNR is lost in the mean, {DOUBT} dB at the end of its interval"
    print("; ".join(f"{name}: {seconds[name]:.3g} s per image" for name in searched.methods))
    if "steps" in searched.found:
        print(f"enough steps: {searched.found['steps']}")
    if "bf16" in searched.found:
        print(f"bf16 is {'' if searched.found['bf16'] else 'not '}as good as fp32")
    print(f"(so that {lost})")


def _check_arguments(args: Choices) -> None:
    from declouds.errors import UserError
    from declouds.evaluation.tables import check_free

    if args.batch_size < 1:
        raise UserError(f"--batch-size must be at least 1, got {args.batch_size}")
    if args.seed < 0:
        raise UserError(f"--seed must be at least 0, got {args.seed}")
    tiling = _tiling(args)
    if tiling is not None:
        tiling.check()
    if args.samples is not None:
        if args.samples < 2:
            raise UserError(f"--samples {args.samples}: a spread needs at least 2")
        if len(args.steps or ()) > 1:
            raise UserError("--samples measures a single number of --steps: find that first, without --samples")
        if args.record is not None and args.steps:
            raise UserError(
                "--record with --samples calibrates the recorded number of steps: leave out --steps, or record it first"
            )
    if args.record is not None:
        from declouds.weights.file import check_output

        if args.split != "val":
            raise UserError("--record chooses by validation images: give --split val")
        check_output(args.record, args.overwrite, (".safetensors",))
    if (args.record is not None or len(args.steps or ()) > 1) and (args.variants or args.variant or args.save_images):
        raise UserError("--variants, --variant and --save-images: only with a single number of --steps, no --record")
    if args.save_images and args.out is None:
        raise UserError("--save-images needs a folder: give --out DIR")
    if args.out is not None:
        check_free(args.out, args.overwrite)
        if args.save_images and not args.overwrite:
            for folder in (args.out / "results", args.out / "comparisons"):
                if folder.exists():
                    raise UserError(f"{folder} already exists: choose another --out, or give --overwrite")


def _tiling(args: Choices) -> Any:
    from declouds.scenes.sampling.tiles import Tiling

    return None if args.tile is None else Tiling(args.tile, args.tile // 4, blend=args.blend)


def _dataset(datamodule: Any, part: str) -> Any:
    from declouds.errors import UserError

    dataset = getattr(datamodule, f"{part}_dataset", None)
    if not dataset:
        raise UserError(f"the data set has no {part} images: choose another --split, or add them to its split file")
    return dataset


def _picture_writer(args: Choices, model: Any, units: Any) -> Any:
    """Return the callback of `evaluate_model` that writes each result and a comparison."""
    from declouds.report.pictures import write_result, write_side_by_side

    assert args.out is not None  # --save-images needs it
    results, comparisons = args.out / "results", args.out / "comparisons"
    for folder in (results, comparisons):
        folder.mkdir(parents=True, exist_ok=True)

    def baseline(sample: dict[str, Any]) -> Any:
        cloudy = sample["cloudy"][None].to(next(model.parameters()).device)
        noise = cloudy.new_zeros(1, model.bands, *cloudy.shape[-2:])
        return model.predict(cloudy, noise, name=[sample["name"]], variant=model.baseline)[0]

    def write(sample: dict[str, Any], images: dict[str, Any]) -> None:
        *_, result = images.values()  # the model itself comes last
        shown = [sample["cloudy"], result, sample["clear"]]
        if model.baseline is not None:
            shown.insert(1, baseline(sample) if images.get(model.baseline) is None else images[model.baseline])
        write_result(results, sample["name"], result, units, args.overwrite)
        write_side_by_side(comparisons, sample["name"], shown, args.overwrite)

    return write
