"""`declouds evaluate`: measure the result images of any method."""

import argparse
from pathlib import Path

HELP = "measure the result images of any method against clear ones"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("results", type=Path, metavar="RESULT_DIR", help="the images to measure")
    parser.add_argument("clear", type=Path, metavar="CLEAR_DIR", help="the clear images, with the same file names")
    parser.add_argument(
        "--mask",
        type=Path,
        metavar="DIR",
        help="cloud masks (not 0 = cloud): measure cloudy and clear pixels separately too",
    )
    parser.add_argument("--protocol", choices=("official", "standard", "reflectance", "both"), default="both")
    parser.add_argument("--split", metavar="FILE[:NAME]", help="only these images, e.g. split.json:test")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write CSV, JSON and the table into this folder")
    parser.add_argument(
        "--lpips-weights", type=Path, metavar="FILE", help="AlexNet weights (default: cached or downloaded)"
    )
    parser.add_argument(
        "--value-range",
        type=float,
        nargs=2,
        metavar=("LOW", "HIGH"),
        help="sensor values that map to -1 and 1; required unless images are 8-bit",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace result files that exist")


def run(args: argparse.Namespace) -> None:
    """Check every pair, then measure, print and write."""
    from declouds.errors import UserError
    from declouds.evaluation.lpips_net import load_lpips
    from declouds.evaluation.picture_pairs import find_pairs, read_pair, read_split
    from declouds.evaluation.protocols import PROTOCOLS, check_protocols, measure
    from declouds.evaluation.tables import Evaluation, check_free, print_tables, write_evaluation
    from declouds.image_io import image_header
    from declouds.progress import tracked
    from declouds.value_range import ValueRange

    if args.out is not None:
        check_free(args.out, args.overwrite)
    protocols = check_protocols([args.protocol])
    value_range = None if args.value_range is None else ValueRange(*args.value_range)
    names, split = read_split(args.split) if args.split else (None, {})
    pairs = find_pairs(args.results, args.clear, args.mask, names)
    for pair in pairs if value_range is None else ():
        if (dtype := image_header(pair.clear).dtype) != "uint8":
            raise UserError(f"{pair.clear}: {dtype} images have no known value range: give --value-range LOW HIGH")
    lpips = load_lpips(args.lpips_weights)

    rows = []
    for pair in tracked(pairs, "measuring"):
        result, clear, mask, valid = read_pair(pair, value_range)
        rows.append({"name": pair.name, **measure(result, clear, protocols, lpips, mask, valid)})
    evaluation = Evaluation(
        protocols={name: PROTOCOLS[name] for name in protocols},
        methods={"result": rows},
        split=split,
        about={"results": str(args.results), "clear": str(args.clear), "value_range": args.value_range},
    )
    print_tables(evaluation)
    if args.out is not None:
        write_evaluation(evaluation, args.out, args.overwrite)
        print(f"written to {args.out}")
