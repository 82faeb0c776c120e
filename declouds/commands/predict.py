"""`declouds predict`: remove the clouds of whole scenes."""

import argparse
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HELP = "remove the clouds of scenes of any size: GeoTIFFs, other rasters, Sentinel-2 and Landsat folders, STAC items"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("scenes", nargs="+", metavar="IN", help="scenes, folders or glob patterns")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="OUT", help="output .tif, or a folder for several scenes"
    )
    parser.add_argument(
        "--checkpoint",
        metavar="FILE",
        help="weights file, or a name from the zoo (default: with --date none, else those that come with declouds, for "
        "colour in any units)",
    )
    add_run(parser)
    _add_engine(parser.add_argument_group("many scenes"))
    add_input(parser.add_argument_group("input"))
    _add_mask(parser.add_argument_group("cloud mask"))
    _add_dates(parser.add_argument_group("several dates"))
    _add_radar(parser.add_argument_group("radar"))
    _add_output(parser.add_argument_group("output"))
    _add_windows(parser.add_argument_group("windows and sampling"))


def add_run(parser: Any) -> None:
    """Add where the model runs, and what becomes of earlier results."""
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda, cuda:1, ...")
    parser.add_argument("--overwrite", action="store_true", help="replace outputs that exist")
    parser.add_argument("--restart", action="store_true", help="discard unfinished work of an earlier command")


def _add_engine(group: Any) -> None:
    group.add_argument("--engine", choices=("local", "ray"), help="a process per scene, on this machine or by Ray")
    group.add_argument("--jobs", type=int, default=1, metavar="N", help="scenes at a time, with --engine (1)")
    group.add_argument("--ray-address", metavar="ADDRESS", help="of a Ray cluster (default: one on this machine)")


def add_input(group: Any) -> None:
    """Add what says how a scene is read."""
    group.add_argument(
        "--bands",
        metavar="B,B,...",
        help="band numbers or names, in the model's order; where it takes any units, others may follow these",
    )
    group.add_argument(
        "--scale", type=float, metavar="S", help="model value = stored value * S + O (default: from the file)"
    )
    group.add_argument("--offset", type=float, metavar="O", help="see --scale")
    group.add_argument("--nodata", type=float, metavar="V", help="nodata value (default: from the file)")
    group.add_argument(
        "--value-range",
        type=two_numbers,
        metavar="LOW,HIGH",
        help="darkest and brightest stored value, for weights that fit any units (default: found in the scene)",
    )


def _add_mask(group: Any) -> None:
    group.add_argument(
        "--mask",
        metavar="MASK",
        help="a cloud mask raster; scl, qa_pixel, udm2 or fmask: the mask of that kind that comes with the scene; "
        "product: any that it is delivered with; auto: that, else a detector; none: clears the whole scene (default: "
        "auto for weights that fit any units, as those that come with declouds; none for all others",
    )
    add_mask_rules(group)
    group.add_argument(
        "--feather",
        type=int,
        default=0,
        metavar="N",
        help="width in pixels of the fade inside the cloud edge (default: 0)",
    )


def add_mask_rules(group: Any) -> None:
    """Add what says which pixels are cloud."""
    group.add_argument(
        "--mask-kind", metavar="KIND", help="what the mask raster is: scl, qa_pixel, udm2 or fmask (Fmask 4)"
    )
    group.add_argument("--mask-values", type=_numbers, metavar="N,N,...", help="mask values that mean cloud")
    group.add_argument("--mask-bits", type=_numbers, metavar="N,N,...", help="mask bits, from 0, that mean cloud")
    group.add_argument(
        "--mask-above", type=float, metavar="V", help="cloud is above this value, such as 0.4, or 40 of 100"
    )
    group.add_argument(
        "--shadow", default="clear", metavar="DO", help="what to do with cloud shadow: clear (default) or keep it"
    )
    group.add_argument(
        "--detector", metavar="NAME", help="cloud detector of --mask auto, for every scene (default: BrightWhite)"
    )
    group.add_argument("--dilate", type=int, default=0, metavar="N", help="pixels to dilate clouds by (default: 0)")


def _add_dates(group: Any) -> None:
    group.add_argument(
        "--date",
        dest="dates",
        action="append",
        metavar="FILE",
        help="another date of the scene, whose clear pixels replace clouds; FILE@2018-06-25 if its name or tags do not "
        "say the day; repeat it for more dates",
    )
    group.add_argument(
        "--target",
        metavar="DAY",
        help="the scenes are the dates of one place: clear that of this day, such as 2018-07-05, by all others",
    )
    group.add_argument(
        "--composite",
        default="linear",
        metavar="HOW",
        help="the dates become one: linear in time between the clear dates before and after (default), nearest in "
        "time, or the median of the clear ones",
    )
    group.add_argument(
        "--colour", default="match", metavar="DO", help="match the dates' colours to the scene (default), or keep them"
    )
    group.add_argument("--align", action="store_true", help="move dates that are over half a pixel off the scene")
    group.add_argument(
        "--date-mask",
        dest="date_masks",
        action="append",
        metavar="FILE",
        help="the cloud mask of a date, where --mask is a file: one for each --date, in the same order",
    )


def _add_radar(group: Any) -> None:
    group.add_argument(
        "--sar",
        metavar="FILE",
        help="radar of the scene, on any grid, in the units that the weights were trained on, such as VV and VH in dB; "
        "for weights of a model with radar (--checkpoint)",
    )


def _add_output(group: Any) -> None:
    group.add_argument("--cog", action="store_true", help="write a Cloud Optimised GeoTIFF")
    group.add_argument(
        "--preview", action="store_true", help="write a quick-look PNG and an HTML page with a before/after slider"
    )
    group.add_argument(
        "--quality",
        action="store_true",
        help="write maps of prior weight, deviation and changed pixels next to the output",
    )
    group.add_argument(
        "--samples", type=int, default=1, metavar="N", help="samples with different noise, for --quality (default: 1)"
    )


def _add_windows(group: Any) -> None:
    group.add_argument("--tile", type=int, default=256, metavar="N", help="window size in pixels (default: 256)")
    group.add_argument(
        "--overlap", type=int, default=32, metavar="N", help="overlap of windows in pixels (default: 32)"
    )
    group.add_argument(
        "--blend",
        default="joint",
        help="how to blend windows; joint: at every sampling step (default); final: once at the end",
    )
    group.add_argument("--taper", default="cosine", help="window function for blending: cosine (default) or linear")
    group.add_argument(
        "--batch-size", type=int, metavar="N", help="windows per batch (default: as many as fit a GPU, 1 on a CPU)"
    )
    group.add_argument("--precision", default="auto", help="fp32, bf16, or auto (default): bf16 where it is as good")
    group.add_argument(
        "--steps", type=int, metavar="N", help="sampling steps (default: those recorded with the weights)"
    )
    group.add_argument(
        "--compile", action="store_true", help="compile the networks first: takes a minute, pays on a GPU"
    )
    group.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the noise (default: 0)")
    group.add_argument("--memory", type=size_in_bytes, metavar="SIZE", help="memory limit, such as 4G")


def run(args: argparse.Namespace) -> None:
    """Check the files, load the model, clear the scenes and print a summary."""
    from declouds.errors import UserError
    from declouds.hardware import keep_freed_memory, pick_launcher, start_processes, stop_processes
    from declouds.scenes.api import dates_alone, for_any_units, remover_of
    from declouds.scenes.checks import check_files
    from declouds.scenes.clear import with_colours
    from declouds.scenes.inputs import find_scenes, find_series
    from declouds.scenes.products import Products
    from declouds.scenes.sampling.ranks import Ranks

    if args.target is not None:
        if args.dates:
            raise UserError("--target takes the other dates from the scenes: give all of them there, and omit --date")
        target, others = find_series(args.scenes, args.target)
        args.scenes, args.dates = [os.fspath(target)], list(map(os.fspath, others))
    any_units, alone = for_any_units(args.checkpoint), args.checkpoint is None and bool(args.dates)
    options = options_of(args).with_mask(any_units)
    options.check()
    scenes = find_scenes(args.scenes, args.output)
    if options.dates and (len(scenes) > 1 or args.engine is not None):
        raise UserError("--date is for one scene: process the scenes one by one, each with its own dates")
    if options.sar is not None and (len(scenes) > 1 or args.engine is not None):
        raise UserError("--sar is for one scene: process the scenes one by one, each with its own radar")
    if scenes[0][1] != args.output:
        _make_folder(args.output)
    _check_apart(scenes, options)
    for source, destination in scenes if len(scenes) == 1 else ():
        known = with_colours(options, source) if any_units and not alone else options
        check_files(source, destination, **known.for_files())
        Products(destination, options).check([source])
    if args.engine is not None:
        _clear_on_engine(args, scenes)
        return
    keep_freed_memory()
    start_processes(pick_launcher("auto"), "-m declouds predict ...", only_meet=True)
    try:
        ranks = Ranks.here()
        failed = []
        if alone:
            removing = dates_alone(scenes[0][0], options)
        else:
            removing = remover_of(args.checkpoint, options, _device(args.device, ranks))
        with removing as remover:
            # With at least as many scenes as processes, each process takes its own scenes; else all share each scene.
            apart = len(scenes) >= ranks.world > 1
            for source, destination in scenes[ranks.rank :: ranks.world] if apart else scenes:
                try:
                    _clear(remover, source, destination, options, Ranks() if apart else ranks)
                except Exception as error:
                    if len(scenes) == 1:
                        raise
                    kind = "" if isinstance(error, UserError) else f"{source}: {type(error).__name__}: "
                    logging.getLogger("declouds").error("%s%s", kind, error)
                    failed.append(source)
        if failed:
            raise UserError(f"{len(failed)} of {len(scenes)} scenes were not cleared: {', '.join(map(str, failed))}")
    finally:
        stop_processes()


def _clear_on_engine(args: argparse.Namespace, scenes: list[tuple[Path, Path]]) -> None:
    """Clear each scene in a process of its own."""
    from dataclasses import fields

    from declouds.errors import UserError
    from declouds.experiments.engines.local import LocalEngine
    from declouds.experiments.engines.ray_engine import RayEngine
    from declouds.experiments.many_scenes import clear_scenes, flags_of
    from declouds.scenes.options import SceneOptions
    from declouds.weights.zoo import find_weights, general_weights

    if scenes[0][1] == args.output:
        raise UserError("--engine is for several scenes: give a folder of scenes, or omit it")
    find_weights(args.checkpoint) if args.checkpoint else general_weights()  # before any process is started
    names = ("checkpoint", "device", *(field.name for field in fields(SceneOptions)))
    flags = flags_of({name: getattr(args, name) for name in names})
    engine = RayEngine(args.jobs, args.ray_address) if args.engine == "ray" else LocalEngine(args.jobs)
    failures = clear_scenes(engine, scenes, flags, args.jobs, args.overwrite)
    for source, why in failures.items():
        logging.getLogger("declouds").error(why if why.startswith(str(source)) else f"{source}: {why}")
    if failures:
        raise UserError(f"{len(failures)} of {len(scenes)} scenes were not cleared: {', '.join(map(str, failures))}")


def _check_apart(scenes: list[tuple[Path, Path]], options: Any) -> None:
    """Refuse scenes whose outputs would overwrite each other or an input."""
    from declouds.errors import UserError
    from declouds.scenes.products import Products

    sources = {source.absolute() for source, _ in scenes} if len(scenes) > 1 else set()
    taken: dict[Path, Path] = {}
    for source, destination in scenes:
        for path in (destination, *Products(destination, options).beside.values()):
            if path.absolute() in sources:
                raise UserError(
                    f"{path}: is an input scene that {source} would overwrite: choose another output folder"
                )
            if (other := taken.setdefault(path.absolute(), source)) != source:
                raise UserError(
                    f"{other} and {source} would both write {path}: process them separately, into two folders"
                )


def _make_folder(path: Path) -> None:
    """Create the output folder for several scenes."""
    from declouds.errors import UserError

    try:
        path.mkdir(exist_ok=True)
    except OSError as error:
        raise UserError(f"{path}: cannot create this folder ({error.strerror}): give another one") from error


def options_of(args: argparse.Namespace) -> Any:
    """Return the options given on the command line; what the command has no flag for is as by default."""
    from dataclasses import fields

    from declouds.scenes.options import SceneOptions

    chosen = {field.name: getattr(args, field.name) for field in fields(SceneOptions) if hasattr(args, field.name)}
    return SceneOptions(**chosen | dict(bands=args.bands.split(",") if args.bands else None))


def _device(name: str, ranks: Any) -> str:
    """Return the device of this process: with several GPUs, each process uses its own."""
    import torch

    if name == "auto" and ranks.world > 1 and torch.cuda.is_available():
        return f"cuda:{int(os.environ.get('LOCAL_RANK', '0')) % torch.cuda.device_count()}"
    return name


def _clear(remover: Any, source: Path, destination: Path, options: Any, ranks: Any) -> None:
    """Clear one scene, with a progress bar on a terminal."""
    from declouds.progress import progress_bar
    from declouds.scenes.clear import clear_scene

    with progress_bar(source.name, shown=ranks.leads) as move:

        def progress(title: str, done: int, total: int) -> None:
            move(description=f"{source.name} {title}", completed=done, total=total)

        report = clear_scene(remover, source, destination, options, ranks, progress)
    if ranks.leads:
        _print_summary(report, remover)


def _print_summary(report: Any, remover: Any) -> None:
    tally = report.tally
    print(
        f"{report.path}: {report.width} x {report.height} pixels in {report.seconds:.1f} s ({report.speed:.3g} Mpx/s), "
        f"{tally.windows} windows, {tally.skipped} of them skipped (nothing to clear)"
    )
    if remover.name is not None:
        from declouds.weights.zoo import MODEL_CARD

        print(f"weights: {remover.name}, which comes with declouds ({MODEL_CARD})")
    print(f"cloud: {report.mask}")
    if report.radar is not None:
        print(f"radar: {report.radar}")
    if report.value_range is not None:
        print(f"value range: {report.value_range}")
    if report.further is not None:
        for line in _about_further(report.further):
            print(f"bands: {line}")
    if report.left_out:
        print(f"bands: {', '.join(report.bands)} are cleared and written, {report.left_out} others are left out")
    if report.dates:
        print(f"{tally.from_dates} cloud pixels filled from {report.dates} dates")
        rest = tally.pixels["cleared"] - tally.from_dates
        if remover.passes and rest:
            print(f"{rest} pixels are clear in no date: the model cleared them")
        elif tally.left:
            print(f"{tally.left} pixels are clear in no date and stay cloudy: give more dates, or --checkpoint too")
    if tally.clipped_values and remover.passes:
        share, known = 100 * tally.clipped_values / tally.values, remover.value_range
        name = "this range" if known is None else f"the model's range {known}"
        print(f"{share:.2g} % of the values were outside {name} and were clipped to it where the scene was cleared")


def _about_further(told: dict[str, Any]) -> Iterator[str]:
    """Yield what was done with which bands, in words."""
    yield f"{', '.join(told['by_model'])} are cleared by the model"
    if told["by_physics"]:
        yield (
            f"a thin veil is lifted from {', '.join(told['by_physics'])} by their wavelengths, and "
            f"{100 * told['share_left']:.2g} % of the cleared pixels are left there as they are: too thick or unclear"
        )
    if told["left"]:
        reasons = ", ".join(f"{name} ({reason})" for name, reason in told["left"].items())
        yield f"left as they are: {reasons}"


def two_numbers(text: str) -> tuple[float, float]:
    """Return the numbers of ``LOW,HIGH``."""
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not LOW,HIGH, such as 0,10000") from None
    return low, high


def _numbers(text: str) -> list[int]:
    """Return the integers of a comma-separated list."""
    try:
        return [int(number) for number in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a comma-separated list of integers such as 8,9,10") from None


def size_in_bytes(text: str) -> int:
    """Return a number of bytes, given plainly or with a suffix K, M, G or T."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size: give one such as 800M or 4G")
    return int(float(match[1]) * 1024 ** " KMGT".index(match[2].upper() or " "))
