"""`declouds mask`: write the cloud mask of a scene."""

import argparse
from pathlib import Path

from declouds.commands.predict import add_input, add_mask_rules, add_run, options_of

HELP = "write the cloud mask of a scene: which pixels `declouds predict` would clear"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("scene", metavar="IN", help="the scene, of any kind that predict takes")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="OUT",
        help="output .tif on the scene's grid: 0 is clear, 1 cloud or its shadow, 255 no data",
    )
    parser.add_argument(
        "--checkpoint",
        metavar="FILE",
        help="weights file, or a name from the zoo, of the model whose bands and detector are used (default: the one "
        "that comes with declouds)",
    )
    add_run(parser)
    add_input(parser.add_argument_group("input"))
    mask = parser.add_argument_group("cloud mask")
    mask.add_argument(
        "--mask",
        default="auto",
        metavar="MASK",
        help="a cloud mask raster; scl, qa_pixel, udm2 or fmask: the mask of that kind that comes with the scene; "
        "product: any that it is delivered with; auto (default): that, else a detector",
    )
    add_mask_rules(mask)


def run(args: argparse.Namespace) -> None:
    """Check the files, load the model, find the clouds and write them."""
    from declouds.errors import UserError
    from declouds.progress import progress_bar
    from declouds.scenes.api import for_any_units, remover_of
    from declouds.scenes.clear import with_colours
    from declouds.scenes.inputs import find_scenes
    from declouds.scenes.write_mask import check_mask_files, write_mask

    options = options_of(args)
    scenes = find_scenes([args.scene], args.output)
    if len(scenes) > 1:
        raise UserError(f"{args.scene}: holds {len(scenes)} scenes: name one of them")
    source, destination = scenes[0]
    known = with_colours(options, source) if for_any_units(args.checkpoint) else options
    check_mask_files(source, destination, known)
    with (
        remover_of(args.checkpoint, options, args.device) as remover,
        progress_bar(source.name) as move,
    ):

        def progress(title: str, done: int, total: int) -> None:
            move(description=f"{source.name} {title}", completed=done, total=total)

        report = write_mask(remover, source, destination, options, progress)
    print(
        f"{report.path}: {report.width} x {report.height} pixels, {100 * report.cloudy:.3g} % of those with data are "
        "cloud or its shadow"
    )
    print(f"cloud: {report.mask}")
