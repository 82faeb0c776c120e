"""The plan of an adaptation: start weights for the bands at hand, scores before, and iterations that fit the time."""

import json
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict, dataclass
from io import StringIO
from pathlib import Path
from tempfile import mkdtemp
from time import perf_counter
from typing import Any

from mmengine.config import Config
from mmengine.hooks import Hook

from declouds.adaptation.scores import score
from declouds.adaptation.survey import Choice, Survey, survey
from declouds.digests import file_digest
from declouds.errors import UserError
from declouds.models import model_class
from declouds.training.coarse_to_fine import CoarseToFine
from declouds.wavelengths import wavelengths_of
from declouds.weights.file import load_model, read_weights, save_weights
from declouds.weights.reband import reband
from declouds.weights.zoo import find_weights

PLAN, START, RUN = "plan.json", "start.safetensors", "run"  # in the work dir
TIMED = 3  # iterations of each stage, of which the fastest but the first says the speed
RESERVE = 0.9  # of the time left is planned: validation, saving, and a machine that gets slower
AUGMENTATIONS = ["RandomHorizontalFlip", "RandomVerticalFlip", dict(type="RandomRotation90", times=[0, 3], p=1.0)]
WINDOWS_A_MINUTE, FEWEST, MOST = 3, 6, 32  # held-out windows of each kind of cloud


@dataclass(frozen=True)
class Order:
    """What the user asks for.

    Attributes:
        choice: the images.
        checkpoint: weights file, or a name of the zoo, of the model to start from.
        minutes: time for everything.
        seed: of the training, the held-out images and the clouds.
        precision: of the networks: 'fp32', 'bf16' or 'auto'.
    """

    choice: Choice
    checkpoint: str
    minutes: float
    seed: int = 0
    precision: str = "auto"

    def as_record(self) -> dict[str, Any]:
        """Return the order as JSON gives it back, the weights by their digest."""
        record = asdict(self) | dict(checkpoint=file_digest(find_weights(self.checkpoint)))
        record["choice"]["paths"] = [str(path.absolute()) for path in self.choice.paths]
        return json.loads(json.dumps(record))


def find_plan(order: Order, work_dir: Path) -> dict[str, Any] | None:
    """Return the plan in a work dir; None if there is no work dir.

    Raises:
        UserError: it holds something else, or the plan of another order.
    """
    if not (work_dir / PLAN).exists():
        if work_dir.is_file() or (work_dir.is_dir() and any(work_dir.iterdir())):
            raise UserError(f"{work_dir} is not empty and holds no adaptation: give a new or empty --work-dir")
        return None
    plan = json.loads((work_dir / PLAN).read_text())
    old, new = ({**record, **record["choice"]} for record in (plan["order"], order.as_record()))
    changed = sorted(key for key in new if key != "choice" and old.get(key) != new[key])
    if changed:
        raise UserError(
            f"{work_dir} holds an adaptation with other arguments ({', '.join(changed)}): give the same ones to "
            "resume, or another --work-dir"
        )
    return plan


def make_plan(order: Order, work_dir: Path, started: float) -> dict[str, Any]:
    """Look at the images, score the start, time the stages, and write the plan; nothing is written if that fails.

    Args:
        order: what the user asks for.
        work_dir: where the plan goes, with the start weights.
        started: `perf_counter` when the command began.

    Raises:
        UserError: unusable images or weights, a model that cannot be adapted, or too little time.
    """
    check_model(order.checkpoint)
    found = survey(order.choice, order.seed)
    print(f"{found.images} images, bands {', '.join(found.band_names)}; values {found.value_range}")
    print(f"held out, never trained on: {found.held_out}; windows of {found.datamodule['size']} pixels", flush=True)
    with _becoming(work_dir) as folder:
        _write_start(order, found, folder / START)
        count = round(min(max(order.minutes * WINDOWS_A_MINUTE, FEWEST), MOST))
        print("scoring the start, then timing a few steps of each stage ...", flush=True)
        begun = perf_counter()
        before = score(load_model(folder / START, _device()), found.datamodule, count, order.seed)
        scoring = perf_counter() - begun
        config = _config(order, found, read_weights(folder / START))
        steps = _timed(config, folder)
        left = order.minutes * 60 - (perf_counter() - started) - scoring
        _set_iterations(config, steps, left, order.minutes, spent=order.minutes * 60 - left)
        config["load_from"] = str((work_dir / START).absolute())
        plan = dict(
            order=order.as_record(), config=config, count=count, before=before, wavelengths=list(found.wavelengths)
        )
        (folder / PLAN).write_text(json.dumps(plan, indent=1))
    for stage, seconds in zip(config["stages"], steps, strict=True):
        minutes = stage["iterations"] * seconds / 60
        print(f"{stage['name']}: {stage['iterations']} iterations, about {minutes:.1f} minutes", flush=True)
    return json.loads(json.dumps(plan))


def check_model(checkpoint: str) -> None:
    """Check that a model can be trained further.

    Raises:
        UserError: it cannot, or the file is unusable.
    """
    kind = model_class(read_weights(checkpoint).config)
    if not kind.fine_tuning:
        raise UserError(f"{checkpoint}: a {kind.__name__} cannot be adapted: give another --checkpoint")


def _device() -> Any:
    from declouds.hardware import pick_device

    return pick_device()


@contextmanager
def _becoming(folder: Path) -> Iterator[Path]:
    """Give a temporary folder that becomes ``folder`` if the block ends well; else nothing is left."""
    if not folder.parent.is_dir() or not os.access(folder.parent, os.W_OK):
        raise UserError(f"{folder.parent} is no folder that can be written to: create it, or give another --work-dir")
    temporary = Path(mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        yield temporary
        if folder.is_dir():
            folder.rmdir()  # empty, see `find_plan`
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write_start(order: Order, found: Survey, path: Path) -> None:
    """Write the weights to start from: those of the checkpoint, moved to the bands of the images."""
    weights, model = read_weights(order.checkpoint), load_model(order.checkpoint)
    known = weights.record.get("wavelengths") or wavelengths_of(model.band_names)
    entries = {key: value for key, value in weights.config.items() if key not in ("losses", "value_range", "any_units")}
    try:
        config, state = reband(entries, model.state_dict(), known, found.band_names, found.wavelengths)
    except UserError as error:
        raise UserError(f"{order.checkpoint}: {error}") from error
    config["value_range"] = found.datamodule["value_range"]
    record = dict(
        weights.record,
        units=dict(scale=order.choice.scale or 1.0, offset=order.choice.offset or 0.0),
        wavelengths=list(found.wavelengths),
    )
    save_weights(path, config, state, record)


def _config(order: Order, found: Survey, start: Any) -> dict[str, Any]:
    """Return the config of the training, without iterations; losses are those the parts were trained with before."""
    kind = model_class(start.config)
    before = {tuple(stage.get("train", ())): stage for stage in start.record.get("stages", ())}
    stages = [
        dict(
            name=part,
            train=[part],
            batch_size=8,
            lr=5e-4,
            augmentations=AUGMENTATIONS,
            optimizer=dict(type="AdamW", betas=[0.9, 0.99], weight_decay=1e-4),
            clip_grad=1.0,
            **{key: value for key, value in before.get((part,), {}).items() if key in kind.stage_entries},
        )
        for part in kind.fine_tuning
        if any(key.startswith(f"{part}.") for key in start.state_dict)
    ]  # fmt: skip
    return dict(
        model=start.config,
        datamodule=found.datamodule,
        stages=stages,
        seed=order.seed,
        num_workers=1,
        precision=order.precision,
        ema=dict(decay=0.99),
        log_interval=10,
        checkpoint_interval=20,
    )


class _Clock(Hook):
    """Note the time of every iteration."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        self.times.append(perf_counter())


def _timed(config: dict[str, Any], folder: Path) -> list[float]:
    """Return the seconds of an iteration of each stage, from the first ones."""
    trial = json.loads(json.dumps(config)) | dict(load_from=str(folder / START), num_workers=0)
    for stage in trial["stages"]:
        stage["iterations"] = TIMED
    level = logging.getLogger("declouds").level
    logging.getLogger("declouds").setLevel(logging.ERROR)  # the training itself gives the same warnings
    try:
        training = CoarseToFine(Config(trial), folder / RUN)
    finally:
        logging.getLogger("declouds").setLevel(level)
    state, seconds = training.given_state, []
    for run in training.runs:
        clock = _Clock()
        with redirect_stdout(StringIO()):  # its progress would be taken for that of the training
            run.try_out(state, folder / "timed" / run.stage.name, TIMED, [clock])
        seconds.append(min(b - a for a, b in zip(clock.times, clock.times[1:], strict=False)))
    shutil.rmtree(folder / "timed")
    return seconds


def _set_iterations(config: dict[str, Any], seconds: list[float], left: float, minutes: float, spent: float) -> None:
    """Divide the time that is left between the stages.

    Raises:
        UserError: it is not enough for one step of each.
    """
    shares = model_class(config["model"]).fine_tuning
    total = sum(shares[stage["name"]] for stage in config["stages"])
    parts = [shares[stage["name"]] / total for stage in config["stages"]]
    needed = max(step / part for step, part in zip(seconds, parts, strict=True)) / RESERVE
    if left < needed:
        raise UserError(
            f"--minutes {minutes:g}: the checks before and after take {spent:.0f} s here, and training at least "
            f"{needed:.0f} s: give at least --minutes {(spent + needed) / 60 + 0.1:.1f}"
        )
    for stage, step, part in zip(config["stages"], seconds, parts, strict=True):
        iterations = int(RESERVE * left * part / step)
        stage["iterations"] = iterations
        stage["param_scheduler"] = [
            dict(type="LinearLR", start_factor=0.1, begin=0, end=max(1, iterations // 10)),
            dict(type="CosineAnnealingLR", T_max=iterations, eta_min=0, begin=0, end=iterations),
        ]
