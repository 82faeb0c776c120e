"""The run: every stage in turn, resumable anywhere, ending in one weights file."""

import json
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import barrier, get_rank, get_world_size, is_main_process
from mmengine.registry import MODELS

import declouds.models
from declouds.engine import autocast, checkpoint, loop  # noqa: F401 (autocast and loop register themselves)
from declouds.engine.environment import peak_memory
from declouds.engine.hooks.average_weights import AverageWeights
from declouds.engine.hooks.draw_panels import DrawPanels
from declouds.engine.hooks.save_checkpoints import SaveCheckpoints
from declouds.engine.hooks.seed_iterations import SeedIterations
from declouds.engine.hooks.show_progress import ShowProgress
from declouds.engine.hooks.tiled_evaluation import TiledEvaluation
from declouds.engine.runner import StageRunner
from declouds.engine.stage import Stage, read_stages
from declouds.engine.training_data import (
    EvaluationImages,
    StageBatches,
    TrainingPatches,
    evaluation_loader,
    train_loader,
)
from declouds.errors import UserError
from declouds.metrics.image_quality import ImageQuality
from declouds.metrics.protocols import PROTOCOLS
from declouds.registry import DATAMODULES
from declouds.report.tables import Evaluation, write_evaluation
from declouds.weights.file import load_strictly, read_weights, save_weights

Weights = dict[str, torch.Tensor]
DRY_ITERATIONS = 2
RECORD = ("bands", "in_bands", "value_range", "band_names")  # what every model is told of the data


@dataclass(frozen=True)
class StageCost:
    """What a stage will cost: figures for the full stage, seconds and bytes as measured on its first iterations."""

    stage: Stage
    iterations: int
    images: int
    seconds: float
    memory: int


class CoarseToFine:
    """A run of all stages of a config.

    Building it checks everything that can be checked before the first iteration.

    Args:
        config: the resolved config.
        work_dir: folder of the run.
        amp: compute in bfloat16 where torch deems it safe.
        launcher: ``none``, ``pytorch`` or ``slurm``; the process group is up already.

    Raises:
        UserError: the config, the data or the reference's weights cannot be used.
    """

    def __init__(self, config: Config, work_dir: Path, *, amp: bool = False, launcher: str = "none") -> None:
        self.config, self.work_dir, self.amp, self.launcher = config, work_dir, amp, launcher
        self.seed = config.get("seed", 0)
        self.stages = read_stages(config.stages)
        self.datamodule = DATAMODULES.build(config.datamodule)
        self.datamodule.setup("fit")
        self.model_config = self._model_config()
        self.learned = self._learned_parts()
        for stage in self.stages:
            self._patches(stage)[
                0
            ]  # a wrong augmentation or a patch larger than the images fails here, not hours later
        self.reference_state = self._reference_weights()

    def run(self, resume: bool = False) -> Path:
        """Train what is not trained yet and return the weights file.

        Raises:
            UserError: the folder holds a run already and ``resume`` is not set, or holds one of another config.
        """
        self._claim_work_dir(resume)
        state: dict[str, Weights] = dict(raw=dict(self.reference_state), average=dict(self.reference_state))
        for number, stage in self._stages_to_run():
            folder = self.work_dir / f"{number}_{stage.name}"
            finished = folder / "finished.pth"
            if finished.exists():
                outcome = checkpoint.load(finished)
            else:
                folder.mkdir(parents=True, exist_ok=True)
                outcome = self._train(number, stage, state[stage.start_from], folder, resume)
                if is_main_process():
                    checkpoint.atomic_save(outcome, finished)
                barrier()
            state = {kind: {**state[kind], **outcome[kind]} for kind in state}
        target = self.work_dir / "model.safetensors"
        if is_main_process():
            save_weights(target, self.model_config, self._final_state(state["average"]), self.record(), overwrite=True)
        barrier()
        return target

    def dry_run(self) -> list[StageCost]:
        """Run two iterations of every stage in a folder that is deleted again, and return what the full run costs."""
        costs = []
        state: Weights = dict(self.reference_state)
        for number, stage in self._stages_to_run():
            with TemporaryDirectory() as folder:
                runner = self._runner(number, stage, state, Path(folder), dry_run=True)
                started = perf_counter()
                runner.train()
                seconds = (perf_counter() - started) / DRY_ITERATIONS
                state |= self._outcome(runner)["average"]
            images = stage.iterations * stage.batch_size
            costs.append(StageCost(stage, stage.iterations, images, seconds * stage.iterations, peak_memory()))
        return costs

    def record(self) -> dict[str, Any]:
        """Return what a weights file says about its making."""
        return dict(
            splits=self.datamodule.split_record(),
            datamodule=_plain(self.config.datamodule),
            stages=_plain(self.config.stages),
            seed=self.seed,
            amp=self.amp,
            processes=get_world_size(),
            versions=dict(python=platform.python_version(), torch=torch.__version__, declouds=declouds.__version__),
        )

    def _model_config(self) -> dict[str, Any]:
        """Return the model's config with bands and units filled in from the data."""
        data = self.datamodule
        config = _plain(self.config.model)
        units = (data.value_range.low, data.value_range.high)
        from_data = dict(bands=data.bands, value_range=units, band_names=list(data.band_names))
        if config.get("bands", data.bands) != data.bands:
            raise UserError(f"the model has bands={config['bands']} but the data have {data.bands}: make them agree")
        return {**from_data, **config}

    def _learned_parts(self) -> frozenset[str]:
        """Build the whole model once: it checks the config, and tells which parts have weights at all."""
        model = MODELS.build(self.model_config)
        return frozenset(
            part for part in model.existing_parts() if any(True for _ in getattr(model, part).parameters())
        )

    def _reference_weights(self) -> Weights:
        """Return the weights of the reference, if they come from a file.

        Raises:
            UserError: the reference needs weights and has neither a file nor a stage, or the file does not fit.
        """
        wanted = self.config.get("reference_weights", "train")
        if "reference" not in self.learned:
            return {}
        if wanted == "train":
            if not any(stage.train == ("reference",) for stage in self.stages):
                raise UserError(
                    "the reference has no weights: set reference_weights to a weights file, or add a stage with "
                    "train=['reference']"
                )
            return {}
        _, state, _ = read_weights(wanted)
        state = {key: value for key, value in state.items() if key.startswith("reference.")}
        load_strictly(MODELS.build(self.model_config).reference, _of_part(state, "reference"), str(wanted))
        return state

    def _stages_to_run(self) -> Iterator[tuple[int, Stage]]:
        """Yield the stages that have something to train, with their numbers."""
        for number, stage in enumerate(self.stages):
            given = stage.train == ("reference",) and bool(self.reference_state)
            if given or not self.learned.intersection(stage.train):
                if is_main_process():
                    why = "its weights are given" if given else "nothing in it has weights"
                    print(f"stage {stage.name} is left out: {why}")
                continue
            yield number, stage

    def _claim_work_dir(self, resume: bool) -> None:
        """Record the config in the run's folder, or check that the run there is this one."""
        recorded = self.work_dir / "config.py"
        if recorded.exists():
            if not resume:
                raise UserError(f"{self.work_dir} holds a run already: give --resume to go on, or another --work-dir")
            changed = _differing_keys(Config.fromfile(recorded), self.config)
            if changed:
                raise UserError(
                    f"{self.work_dir} holds a run of another config (other {', '.join(changed)}): resume with the "
                    "config it was started with, or give another --work-dir"
                )
        barrier()
        if is_main_process() and not recorded.exists():
            try:
                self.work_dir.mkdir(parents=True, exist_ok=True)
                temporary = self.work_dir / ".config.tmp.py"
                self.config.dump(temporary)
                temporary.replace(recorded)  # whole or not there: a resume reads it
            except OSError as error:
                raise UserError(f"{self.work_dir} cannot be written to ({error}): give another --work-dir") from error
        barrier()

    def _train(self, number: int, stage: Stage, state: Weights, folder: Path, resume: bool) -> dict[str, Weights]:
        runner = self._runner(number, stage, state, folder, resume=resume)
        runner.train()
        outcome = self._outcome(runner)
        if is_main_process() and runner.val_loop is not None:
            self._write_evaluation(runner.val_evaluator.metrics[0], folder, stage)
        return outcome

    def _write_evaluation(self, quality: ImageQuality, folder: Path, stage: Stage) -> None:
        """Write the scores of the last evaluation of a stage, image by image."""
        evaluation = Evaluation(
            protocols={name: PROTOCOLS[name] for name in quality.protocols},
            methods={"result": quality.per_image},
            split={"part": "val", **self.datamodule.split_record()["val"]},
            compared=[],
            about={"stage": stage.name, "iterations": stage.iterations, "seed": self.seed},
        )
        write_evaluation(evaluation, folder / "evaluation", overwrite=True)

    @staticmethod
    def _outcome(runner: StageRunner) -> dict[str, Weights]:
        """Return the raw and the averaged weights of the parts that a stage has trained."""
        model = checkpoint.bare_model(runner)
        raw = {k: v.cpu().clone() for k, v in model.state_dict().items() if k.split(".")[0] in model.trained}
        average = checkpoint.average_of(runner)
        averaged = {} if average is None else {key: value.cpu() for key, value in average.part_state_dict().items()}
        return dict(raw=raw, average={**raw, **averaged})

    def _stage_model(self, stage: Stage, state: Weights) -> Any:
        """Build what a stage needs: the parts it trains, and those that have weights or need none."""
        config = self.model_config
        torch.manual_seed(self.seed)
        if stage.train == ("reference",):
            record: dict[str, Any] = {key: config[key] for key in RECORD if key in config}
            model = MODELS.build(
                {"type": "OnePass", "reference": config["reference"], "losses": stage.losses, **record}
            )
        else:
            ready = {"denoiser"} | set(stage.train) | {key.split(".")[0] for key in state}
            if "fusion" in self.learned and "fusion" not in ready:
                config = {**config, "fusion": None, "reference": None}
            model = MODELS.build(config)
        for part in model.existing_parts():
            weights = _of_part(state, part)
            if weights:
                load_strictly(getattr(model, part), weights, f"the weights of the stages before {stage.name}")
            elif part in self.learned and part not in stage.train:
                raise UserError(
                    f"stage {stage.name} uses the {part}, which no earlier stage has trained: add a stage for it"
                )
        model.train_only(self.learned.intersection(stage.train))
        return model

    def _runner(
        self, number: int, stage: Stage, state: Weights, folder: Path, *, resume: bool = False, dry_run: bool = False
    ) -> StageRunner:
        """Put MMEngine's Runner together for a stage."""
        config, seed, workers = self.config, self.seed, self.config.get("num_workers", 0)
        iterations = DRY_ITERATIONS if dry_run else stage.iterations
        batches = StageBatches(stage.batch_size, iterations, get_rank(), get_world_size())
        hooks: list[Any] = [
            SeedIterations(seed, number),
            ShowProgress(f"stage {number + 1}/{len(self.stages)} {stage.name}", stage.batch_size),
        ]
        if config.get("ema") is not None:
            hooks.append(AverageWeights(**config.ema))
        evaluation: dict[str, Any] = {}
        if self.datamodule.val_dataset is not None and not dry_run:
            val = config.get("val", {})
            images = EvaluationImages(self.datamodule.val_dataset, self.datamodule.bands, seed, val.get("images"))
            tile = val.get("tile") or (stage.crop or 256) * stage.reduce
            hooks += [
                TiledEvaluation(tile=tile, overlap=val.get("overlap", tile // 4)),
                DrawPanels(images, val.get("panels", 2)),
            ]
            evaluation = dict(
                val_dataloader=evaluation_loader(images, workers),
                val_cfg=dict(type="ValLoop"),
                val_evaluator=[ImageQuality(protocols=["official"], lpips=False)],
            )
        if not dry_run:
            hooks.append(SaveCheckpoints(config.get("checkpoint_interval", 1000)))
        name = f"{self.work_dir.name}-{folder.name}-{perf_counter():.6f}"  # unique: MMEngine shares loggers by name
        return StageRunner(
            model=self._stage_model(stage, state),
            work_dir=str(folder),
            train_dataloader=train_loader(self._patches(stage), batches, workers),
            train_cfg=dict(type="StageLoop", max_iters=iterations, val_interval=stage.val_interval or iterations),
            optim_wrapper=stage.optim_wrapper(self.amp),
            param_scheduler=[dict(item) for item in stage.param_scheduler] or None,
            default_hooks=dict(
                checkpoint=None,
                sampler_seed=None,  # our samplers have no epochs to seed
                logger=dict(type="LoggerHook", interval=config.get("log_interval", 20)),
            ),
            custom_hooks=hooks,
            launcher=self.launcher,
            cfg=dict(
                model_wrapper_cfg=dict(
                    type="MMDistributedDataParallel",
                    device_ids=None,
                    broadcast_buffers=False,
                    find_unused_parameters=stage.train == ("reference",),  # official references hold unused layers
                )
            ),
            log_processor=dict(by_epoch=False, window_size=config.get("log_interval", 20)),
            randomness=dict(seed=seed, diff_rank_seed=True),
            visualizer=dict(
                type="Visualizer",
                vis_backends=[dict(type="TensorboardVisBackend"), dict(type="LocalVisBackend")],
                name=name,
            ),
            experiment_name=name,
            default_scope="mmengine",
            resume=resume,
            **evaluation,
        )

    def _patches(self, stage: Stage) -> TrainingPatches:
        return TrainingPatches(self.datamodule.train_dataset, stage.reduce, stage.crop, stage.augmentations, self.seed)

    def _final_state(self, state: Weights) -> Weights:
        """Return the state of the whole model, with its parts that no stage trained as they were built."""
        torch.manual_seed(self.seed)
        model = MODELS.build(self.model_config)
        for part in model.existing_parts():
            weights = _of_part(state, part)
            if weights:
                load_strictly(getattr(model, part), weights, "the trained weights")
            elif part in self.learned:
                raise UserError(f"no stage trained the {part}: add a stage with train=['{part}']")
        return model.state_dict()


def _of_part(state: Weights, part: str) -> Weights:
    return {key.removeprefix(f"{part}."): value for key, value in state.items() if key.startswith(f"{part}.")}


def _plain(config: Any) -> Any:
    """Turn MMEngine's ConfigDict into plain dicts and lists."""
    return json.loads(json.dumps(config))


def _differing_keys(one: Config, other: Config) -> list[str]:
    """Return the top-level keys in which two configs differ, but for those that do not change the result."""
    first, second = one.to_dict(), other.to_dict()
    keys = (set(first) | set(second)) - {"num_workers", "log_interval", "checkpoint_interval", "val"}
    return sorted(key for key in keys if first.get(key) != second.get(key))
