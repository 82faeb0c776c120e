"""`declouds weights`: import, export, show, fetch and verify weights files."""

import argparse
import json
import sys
from pathlib import Path

HELP = "import, export and show weights; fetch and verify published weights"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions and their arguments."""
    from declouds.weights.kinds import KINDS

    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    bring = actions.add_parser(
        "import", help="convert a state dict of the official code into a self-describing weights file"
    )
    bring.add_argument("file", type=Path, help="the official .pth file")
    bring.add_argument("--as", dest="kind", required=True, help=f"the network: {', '.join(KINDS)}")
    bring.add_argument("-o", "--output", type=Path, required=True, help="the .safetensors file to write")
    bring.add_argument(
        "--channel-order",
        metavar="ORDER",
        help="band order the network was trained on, rgb (default) or bgr; required for spa_gan",
    )
    bring.add_argument(
        "--part",
        nargs="+",
        type=_part,
        default=[],
        metavar="NAME=FILE",
        help="imported weights of a part missing in the official file, e.g. reference=FILE for de",
    )
    bring.add_argument(
        "--value-range",
        nargs=2,
        type=float,
        metavar=("LOW", "HIGH"),
        help="sensor values that map to -1 and 1 (default: those of --part, else 0 255)",
    )
    bring.add_argument(
        "--band-names",
        nargs="+",
        metavar="NAME",
        help="names of all bands (default: those of --part; red green blue for 3 bands)",
    )
    bring.add_argument("--overwrite", action="store_true", help="replace the output if it exists")

    info = actions.add_parser("info", help="show the contents of a weights file and how it was trained")
    info.add_argument("file", help="a weights file, or a name from the zoo")
    info.add_argument("--json", action="store_true", help="print the full config and training record as JSON")

    export = actions.add_parser(
        "export", help="write one part of a model as a plain state dict, or the whole file in half precision"
    )
    export.add_argument("file", help="a weights file, or a name from the zoo")
    export.add_argument(
        "--part", help="a part of the model, see `declouds weights info` (default: all, with the record)"
    )
    export.add_argument("--half", action="store_true", help="store float16, which is loaded as float32")
    export.add_argument("-o", "--output", type=Path, required=True, help="the .safetensors or .pth file to write")
    export.add_argument("--overwrite", action="store_true", help="replace the output if it exists")

    actions.add_parser(
        "list",
        help="list the published weights",
        description="List the published weights. Their names can be used in place of a weights file.",
    )

    fetch = actions.add_parser("fetch", help="download published weights into the cache")
    fetch.add_argument("name", help="a name from the zoo (see `declouds weights list`)")
    _add_origin(fetch)
    fetch.add_argument("--overwrite", action="store_true", help="import again, even if cached")

    verify = actions.add_parser("verify", help="measure published weights and compare with the expected scores")
    verify.add_argument("name", help="a name from the zoo (see `declouds weights list`)")
    verify.add_argument("data", type=Path, metavar="DATA_DIR", help="folder with cloud/ and label/")
    _add_origin(verify)
    verify.add_argument("--device", default="auto", help="auto (default), cpu, cuda, cuda:1, ...")


def _add_origin(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--from", dest="origin", type=Path, metavar="FILE", help="use this copy of the official file")
    parser.add_argument("--offline", action="store_true", help="do not download (or set $DECLOUDS_OFFLINE=1)")


def run(args: argparse.Namespace) -> None:
    """Run the action."""
    actions = dict(import_=_import, info=_info, export=_export, list=_list, fetch=_fetch, verify=_verify)
    actions["import_" if args.action == "import" else args.action](args)


def _part(text: str) -> tuple[str, Path]:
    """Return the name and the file of ``NAME=FILE``."""
    name, separator, file = text.partition("=")
    if not (name and separator and file):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=FILE, for example reference=mpr.safetensors")
    return name, Path(file)


def _import(args: argparse.Namespace) -> None:
    from declouds import __version__
    from declouds.weights.kinds.import_file import import_file

    weights = import_file(
        args.file,
        args.kind,
        args.output,
        channel_order=args.channel_order,
        parts=dict(args.part),
        value_range=args.value_range and tuple(args.value_range),
        band_names=args.band_names,
        about=dict(versions=dict(declouds=__version__)),
        overwrite=args.overwrite,
    )
    print(f"{args.output}: {len(weights.state_dict)} tensors, all keys and shapes matched")


def _info(args: argparse.Namespace) -> None:
    from declouds.weights.file import read_weights
    from declouds.weights.summary import as_lines, as_values

    weights = read_weights(args.file)
    if args.json:
        print(json.dumps(as_values(weights), indent=2))
    else:
        print("\n".join(as_lines(weights)))


def _export(args: argparse.Namespace) -> None:
    from declouds.weights.export import SUFFIXES, export_model, export_part
    from declouds.weights.file import check_output, read_weights

    suffixes = SUFFIXES if args.part else SUFFIXES[:1]
    check_output(args.output, args.overwrite, suffixes)  # before anything is fetched from the zoo
    weights = read_weights(args.file)
    if args.part:
        state_dict = export_part(weights, args.part, args.output, args.half, args.overwrite)
    else:
        state_dict = export_model(weights, args.output, args.half, args.overwrite)
    print(f"{args.output}: {len(state_dict)} tensors of the {args.part or 'model'}")


def _list(args: argparse.Namespace) -> None:
    from declouds.weights.zoo import GENERAL, MODEL_CARD, zoo

    print(f"{GENERAL} (comes with declouds)\n  RGB of any sensor, used where no weights are given: {MODEL_CARD}")
    for entry in zoo().values():
        expected = entry.expected
        scores = ", ".join(f"{metric} {value:g}" for metric, value in expected.scores.items())
        print(f"{entry.name} ({'cached' if entry.cached.is_file() else 'not fetched'})")
        print(f"  {entry.about}")
        print(f"  {entry.licence}, {entry.bytes / 1e6:.1f} MB, {entry.source}")
        print(f"  {scores}: {expected.protocol} protocol, {len(expected.split)} images of {expected.data_set}")
        print(f"  {expected.remark}")


def _fetch(args: argparse.Namespace) -> None:
    from declouds.weights.zoo import fetch

    print(fetch(args.name, args.origin, forbid_download=args.offline, again=args.overwrite))


def _verify(args: argparse.Namespace) -> None:
    """Print measured and expected scores; exit with 1 if they differ."""
    from rich.console import Console
    from rich.table import Table

    from declouds.evaluation.verify_weights import pairs_of_score, verify_weights
    from declouds.hardware import pick_device
    from declouds.weights.file import load_model
    from declouds.weights.zoo import fetch, zoo_entry

    expected = zoo_entry(args.name).expected
    device = pick_device(args.device)
    pairs = pairs_of_score(expected, args.data)
    model = load_model(fetch(args.name, args.origin, forbid_download=args.offline), device)
    outcome = verify_weights(model, expected, pairs)
    table = Table("metric", "measured", "expected", "tolerance", "", title=f"{args.name}, {expected.protocol} protocol")
    for score in outcome.scores:
        figures = (f"{score.measured:.4f}", f"{score.expected:g}", f"{score.tolerance:g}")
        table.add_row(score.metric, *figures, "pass" if score.passes else "FAIL")
    Console().print(table)
    images = f"{len(expected.split)} images of {expected.data_set}"
    print(f"{images}{'' if outcome.same_pixels else ', but their pixels differ from those of the expected scores'}")
    print("pass" if outcome.passes else "FAIL")
    if not outcome.passes:
        sys.exit(1)
