"""`declouds adapt`: a model of one's own from clear images alone."""

import argparse
import re
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

from declouds.commands.predict import two_numbers

HELP = "train the general model further on your own clear images, with simulated clouds"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("clear", nargs="+", type=Path, metavar="CLEAR", help="clear images, or folders of them")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT", help="output .safetensors")
    parser.add_argument("--minutes", type=float, default=15.0, metavar="M", help="time for everything (default: 15)")
    parser.add_argument(
        "--checkpoint", metavar="FILE", help="weights to start from: a file, or a name from the zoo (default: general)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of training, clouds, split (default: 0)")
    parser.add_argument(
        "--work-dir", type=Path, metavar="DIR", help="folder of the run (default: OUT with suffix .work)"
    )
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda, cuda:1, ...")
    parser.add_argument("--precision", default="auto", help="fp32, bf16, or auto (default): bf16 where it is as good")
    images = parser.add_argument_group("images")
    images.add_argument(
        "--bands",
        metavar="B,B,...",
        help="names of the bands to take; NAME=NUMBER,... or, with --wavelengths, numbers where files name none",
    )
    images.add_argument(
        "--wavelengths", type=_numbers, metavar="W,W,...", help="of the bands, in micrometres (default: by name)"
    )
    images.add_argument(
        "--value-range",
        type=two_numbers,
        metavar="LOW,HIGH",
        help="values of black and of thick cloud (default: 0,255 for 8 bits, else found from the images)",
    )
    images.add_argument(
        "--scale", type=float, metavar="S", help="value = stored value * S + O (default: from the file)"
    )
    images.add_argument("--offset", type=float, metavar="O", help="see --scale")


def run(args: argparse.Namespace) -> None:
    """Adapt a model, and print how it scores before and after."""
    started = perf_counter()
    _use_device(args.device)
    from declouds.adaptation.adapt import adapt
    from declouds.adaptation.plan import Order
    from declouds.adaptation.survey import Choice
    from declouds.errors import UserError
    from declouds.hardware import keep_freed_memory, pick_device
    from declouds.runs.stop_signals import StoppedError
    from declouds.weights.zoo import GENERAL

    pick_device(args.device.partition(":")[0])
    if not args.minutes > 0:
        raise UserError(f"--minutes {args.minutes:g}: give a number above 0")
    if args.value_range and not args.value_range[0] < args.value_range[1]:
        raise UserError("--value-range takes LOW,HIGH, the lower one first, such as 0,10000")
    keep_freed_memory()
    choice = Choice(
        tuple(args.clear),
        _bands(args.bands, args.wavelengths),
        tuple(args.wavelengths) if args.wavelengths else None,
        args.value_range,
        args.scale,
        args.offset,
    )
    order = Order(choice, args.checkpoint or GENERAL, args.minutes, args.seed, args.precision)
    try:
        adapt(order, args.output, args.work_dir, started)
    except StoppedError as stopped:
        print(f"declouds: stopped by {stopped.signal}: repeat the command to resume", file=sys.stderr)
        raise


def _use_device(name: str) -> None:
    """Leave only the chosen device visible: training takes the first one."""
    import os

    kind, _, number = name.partition(":")
    if kind == "cpu" or number:
        os.environ["CUDA_VISIBLE_DEVICES"] = number


def _bands(text: str | None, wavelengths: list[float] | None) -> Any:
    """Return names of bands, or name -> number."""
    from declouds.errors import UserError

    if text is None:
        return None
    items = [item.strip() for item in text.split(",")]
    if all(item.isdigit() for item in items):
        if wavelengths is None or len(wavelengths) != len(items):
            raise UserError(f"--bands {text}: give --wavelengths too, one for each number, or NAME=NUMBER,...")
        return {f"{wavelength:g}um": int(item) for wavelength, item in zip(wavelengths, items, strict=True)}
    if all(re.fullmatch(r"[^=]+=\d+", item) for item in items):
        return {item.partition("=")[0]: int(item.partition("=")[2]) for item in items}
    if any("=" in item or not item for item in items):
        raise UserError(f"--bands {text}: give names, such as red,green,blue, or NAME=NUMBER for each, such as red=4")
    return items


def _numbers(text: str) -> list[float]:
    """Return the numbers of a comma-separated list."""
    try:
        return [float(number) for number in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a comma-separated list of numbers") from None
