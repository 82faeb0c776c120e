"""Adapt the general model to clear images: plan, train, score, and keep the better weights."""

from pathlib import Path
from time import perf_counter
from typing import Any

from mmengine.config import Config

from declouds.adaptation.plan import RUN, START, Order, find_plan, make_plan
from declouds.adaptation.scores import KINDS, Scores, as_lines, as_numbers, as_text, gain, mean_psnr, score
from declouds.hardware import pick_device
from declouds.training.coarse_to_fine import CoarseToFine
from declouds.weights.file import check_output, load_model, read_weights, save_weights


def adapt(order: Order, output: Path, work_dir: Path | None = None, started: float | None = None) -> Path:
    """Train a model further on clear images under simulated clouds, and write the better of start and result.

    Killed and called again with the same arguments it resumes where it stopped, by the same plan.

    Args:
        order: images, start and time.
        output: the weights file to write.
        work_dir: where the run is kept; ``output`` with the suffix ``.work`` if not given.
        started: `perf_counter` when the time began; now if not given.

    Raises:
        UserError: see `make_plan`; or the output exists, or the work dir holds something else.
    """
    started = perf_counter() if started is None else started
    check_output(output, suffixes=(".safetensors",))
    work_dir = work_dir or output.with_suffix(".work")
    plan = find_plan(order, work_dir)
    if plan is None:
        plan = make_plan(order, work_dir, started)
    else:
        print(f"going on with the run in {work_dir}", flush=True)
    trained = CoarseToFine(Config(plan["config"]), work_dir / RUN).run(resume=True)
    after = score(load_model(trained, pick_device()), plan["config"]["datamodule"], plan["count"], order.seed)
    better = gain(after, plan["before"]).mean > 0
    _save(order, plan, after, trained if better else work_dir / START, output, better)
    _report(plan["before"], after, better)
    print(f"weights: {output} after {(perf_counter() - started) / 60:.1f} minutes; the run is kept in {work_dir}")
    print(f"use them: declouds predict scene.tif -o clear.tif --checkpoint {output}")
    return output


def _save(order: Order, plan: dict[str, Any], after: Scores, source: Path, output: Path, better: bool) -> None:
    """Write the weights with a record of how they came about."""
    weights = read_weights(source)
    adapted = dict(
        start=plan["order"]["checkpoint"],
        minutes=order.minutes,
        seed=order.seed,
        kept="trained" if better else "start",
        windows=plan["count"],
        before=as_numbers(plan["before"]),
        after=as_numbers(after),
    )
    trained = read_weights(source.parent / "model.safetensors") if better else weights
    record = trained.record | dict(wavelengths=plan["wavelengths"], adapted=adapted)
    save_weights(output, weights.config, weights.state_dict, record)


def _report(before: Scores, after: Scores, better: bool) -> None:
    """Print the scores, and whether training has helped."""
    print("PSNR on held-out windows under simulated clouds, mean with its 95 % interval over windows:")
    print("\n".join(as_lines({"before": before, "after": after})))
    change = gain(after, before)
    print(f"change: {change.mean:+.2f} dB [{change.low:+.2f}, {change.high:+.2f}], paired by window")
    if not better:
        print("training has not made the model better: the weights are those from before")
    elif change.low <= 0:
        print("the interval of the change includes 0: it may be chance; give more --minutes or more images")
    kept = after if better else before
    for kind in KINDS:
        cloudy, result = (mean_psnr(kept[kind][name]) for name in ("cloudy", "result"))
        if result.mean <= cloudy.mean:
            print(f"under {kind} clouds the result is worse than the cloudy image itself ({as_text(cloudy)})")
