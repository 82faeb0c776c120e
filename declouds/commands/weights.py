"""`declouds weights`: files of weights in and looked into."""

import argparse
import json
from pathlib import Path

HELP = "import official weights, or show what a weights file holds"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `import` and `info`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    bring = actions.add_parser("import", help="turn a state dict of the official code into a self-describing file")
    bring.add_argument("file", type=Path, help="the official .pth file")
    bring.add_argument("--as", dest="kind", required=True, help="which network it is: de, mpr_net or msda")
    bring.add_argument("-o", "--output", type=Path, required=True, help="the .safetensors file to write")
    bring.add_argument(
        "--reference", type=Path, help="for de: the imported weights of the reference it was trained with"
    )
    bring.add_argument("--value-range", nargs=2, type=float, default=(0.0, 255.0), metavar=("LOW", "HIGH"))
    bring.add_argument("--overwrite", action="store_true", help="replace the output if it exists")
    info = actions.add_parser("info", help="show config and record of a weights file")
    info.add_argument("file", type=Path)


def run(args: argparse.Namespace) -> None:
    """Import a file, or show one."""
    if args.action == "import":
        _import(args)
    else:
        from declouds.weights.file import read_weights

        config, state_dict, record = read_weights(args.file)
        parameters = sum(value.numel() for value in state_dict.values())
        print(json.dumps(dict(parameters=parameters, tensors=len(state_dict), config=config, record=record), indent=2))


def _import(args: argparse.Namespace) -> None:
    from declouds.errors import UserError
    from declouds.value_range import ValueRange
    from declouds.weights.file import check_output, read_weights, save_weights
    from declouds.weights.official import import_official

    check_output(args.output, args.overwrite)
    ValueRange(*args.value_range)
    if (args.kind == "de") != (args.reference is not None):
        raise UserError(
            "official DE weights hold no reference: import that first (--as mpr_net or msda), then --reference FILE"
            if args.kind == "de"
            else f"--reference goes with --as de, not with --as {args.kind}"
        )
    config, state_dict = import_official(args.file, args.kind)
    record = dict(imported=dict(kind=args.kind, file=args.file.name))
    units = dict(value_range=list(args.value_range))
    if args.kind == "de":
        reference_config, reference_state, reference_record = read_weights(args.reference)
        if reference_config["type"] != "OnePass" or reference_config["bands"] != config["denoiser"]["bands"]:
            raise UserError(
                f"{args.reference} is no reference of {config['denoiser']['bands']} bands: import the right one"
            )
        record["reference"] = reference_record
        state_dict |= {key: value for key, value in reference_state.items() if key.startswith("reference.")}
        config |= dict(
            reference=reference_config["reference"],
            noise_schedule=dict(type="LinearSchedule"),
            sampler=dict(type="DDIM", steps=10),
            bands=config["denoiser"]["bands"],
            **units,
        )
    else:
        config = dict(type="OnePass", reference=config, bands=config["bands"], **units)
        state_dict = {f"reference.{key}": value for key, value in state_dict.items()}
    save_weights(args.output, config, state_dict, record, args.overwrite)
    print(f"{args.output}: {len(state_dict)} tensors, every key and shape accounted for")
