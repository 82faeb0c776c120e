"""One stage of a run: its model, Runner, checks and trained weights."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from mmengine.dist import get_rank, get_world_size, is_main_process
from mmengine.registry import OPTIM_WRAPPERS, OPTIMIZERS, PARAM_SCHEDULERS
from torch.utils.data import default_collate

from declouds.errors import UserError
from declouds.evaluation.image_quality import ImageQuality
from declouds.evaluation.protocols import PROTOCOLS
from declouds.evaluation.tables import Evaluation, write_evaluation
from declouds.hardware import pick_device
from declouds.inference import compile_parts
from declouds.layers.timm_encoder import without_pretrained
from declouds.layers.unet import recompute_activations
from declouds.models import build_model, model_class
from declouds.training import checkpoint
from declouds.training.augmentation import Augmentation
from declouds.training.checkpoint import SaveCheckpoints
from declouds.training.display import DrawPanels, ShowProgress
from declouds.training.hooks import AverageWeights, RecordLosses, SeedIterations, TiledEvaluation
from declouds.training.runner import StageRunner
from declouds.training.settings import Settings, Weights, part_of
from declouds.training.stage import Stage
from declouds.training.training_data import (
    EvaluationImages,
    StageBatches,
    TrainingPatches,
    evaluation_loader,
    train_loader,
)
from declouds.weights.file import load_strictly

TRIAL_ITERATIONS = 2


class StageRun:
    """One stage, ready to be trained.

    Args:
        settings: settings shared by the stages of the run.
        stage: the stage.
        number: its position in the config, from 0.
        count: number of stages in the config.
    """

    def __init__(self, settings: Settings, stage: Stage, number: int, count: int) -> None:
        self.settings, self.stage, self.number = settings, stage, number
        whole = model_class(settings.model_config)
        try:
            self.model_config = whole.training_config(settings.model_config, stage.train, stage.options)
        except UserError as error:
            raise UserError(f"stage {stage.name}: {error}") from error
        self.model_class = model_class(self.model_config)
        existing = [part for part in self.model_class.parts if self.model_config.get(part) is not None]
        self.helpers = [part for part in existing if part not in whole.parts]  # trained alongside, e.g. a discriminator
        self.changes = (settings.learned & set(stage.train)) | set(self.helpers)
        self.used = (settings.learned & set(existing)) - set(stage.train)
        self.title = f"stage {number + 1}/{count} {stage.name}"

    def train(self, state: Weights, folder: Path, resume: bool) -> dict[str, Weights]:
        """Train the stage from ``state`` and return the online (``raw``) and EMA (``average``) weights it trained."""
        runner = self._runner(
            state, folder, self.stage.iterations, [self._checkpoints()], self._evaluation(folder), resume
        )
        with self._memory_told():
            runner.train()
        if is_main_process() and runner.val_loop is not None:
            self._write_evaluation(runner.val_evaluator.metrics[0], folder)
        return self._outcome(runner)

    def try_out(
        self, state: Weights, folder: Path, iterations: int = TRIAL_ITERATIONS, hooks: Sequence[Any] = ()
    ) -> tuple[float, dict[str, Weights]]:
        """Train a few iterations without evaluation, and return the seconds per iteration and the weights."""
        runner = self._runner(state, folder, iterations, list(hooks), {}, resume=False)
        started = perf_counter()
        with self._memory_told():
            runner.train()
        return (perf_counter() - started) / iterations, self._outcome(runner)

    @contextmanager
    def _memory_told(self) -> Iterator[None]:
        """Say what to change when the device's memory does not hold a step."""
        try:
            yield
        except torch.OutOfMemoryError as error:
            stage = self.stage
            raise UserError(
                f"stage {stage.name}: a step of {stage.batch_size} images does not fit the device's memory: set "
                f"accumulate={2 * stage.accumulate} or recompute=True, or lower batch_size or crop"
            ) from error

    def model(self, state: Weights) -> Any:
        """Build the model of the stage with the weights of ``state``."""
        model = model_of_stage(self.model_config, self.changes, self.settings.seed, state, self.stage.name)
        if self.stage.recompute:
            recompute_activations(model)
        return model

    def optim_wrapper(self, precision: str) -> dict[str, Any]:
        """Return the config of the optimiser wrapper, or one per trained part."""
        parts = [part for part in self.model_class.parts if part in self.changes]
        return self.stage.optim_wrapper(precision, parts if self.model_class.separate_optimizers else ())

    def patches(self) -> TrainingPatches:
        """Return the training patches of the stage."""
        stage, train = self.stage, self.settings.datamodule.train_dataset
        return TrainingPatches(train, stage.reduce, stage.crop, self.settings.seed, self.number)

    def augmentation(self) -> Augmentation:
        """Return what the stage does to each batch of patches."""
        return Augmentation(self.stage.augmentations, self.settings.seed, self.number)

    def _checkpoints(self) -> SaveCheckpoints:
        return SaveCheckpoints(self.settings.config.get("checkpoint_interval", 1000))

    def _evaluation(self, folder: Path) -> dict[str, Any]:
        """Return the Runner's arguments for the evaluation loop; empty without validation images."""
        data, val = self.settings.datamodule, self.settings.config.get("val", {})
        if data.val_dataset is None:
            return {}
        images = EvaluationImages(data.val_dataset, data.bands, self.settings.seed, val.get("images"))
        return dict(
            val_dataloader=evaluation_loader(images, self.settings.config.get("num_workers", 0)),
            val_cfg=dict(type="ValLoop"),
            val_evaluator=[ImageQuality(["official"], lpips=False, collect_dir=str(folder / "collected"))],
        )

    def hooks(self, evaluation: dict[str, Any]) -> list[Any]:
        """Return the hooks of the stage; ``evaluation`` is empty without validation images."""
        config, stage = self.settings.config, self.stage
        hooks: list[Any] = [SeedIterations(self.settings.seed, self.number), ShowProgress(self.title, stage.batch_size)]
        if config.get("ema") is not None:
            hooks.append(AverageWeights(**config.ema))
        if evaluation:
            val = config.get("val", {})
            tile = val.get("tile") or (stage.crop or 256) * stage.reduce
            tiling = dict(tile=tile, overlap=val.get("overlap", tile // 4), blend=val.get("blend", "joint"))
            hooks.append(TiledEvaluation(self.settings.seed, **tiling))
            hooks.append(DrawPanels(evaluation["val_dataloader"].dataset, val.get("panels", 2)))
        return hooks + list(config.get("custom_hooks", []))

    def _runner(
        self, state: Weights, folder: Path, iterations: int, hooks: list[Any], evaluation: dict[str, Any], resume: bool
    ) -> StageRunner:
        """Build MMEngine's Runner."""
        settings, stage, config = self.settings, self.stage, self.settings.config
        interval = config.get("log_interval", 20)
        batches = StageBatches(stage.batch_size, iterations, get_rank(), get_world_size())
        name = f"{folder.parent.name}-{folder.name}-{perf_counter():.6f}"  # unique: MMEngine shares loggers by name
        backends = [dict(type="TensorboardVisBackend"), dict(type="LocalVisBackend")]
        wrapper = dict(
            type="MMDistributedDataParallel",
            device_ids=None,
            broadcast_buffers=False,
            find_unused_parameters=self.model_class.unused_parameters,
        )
        model = self.model(state)
        if config.get("compile"):
            compile_parts(model.to(pick_device()))
        return StageRunner(
            model=model,
            work_dir=str(folder),
            train_dataloader=train_loader(self.patches(), batches, config.get("num_workers", 0)),
            train_cfg=dict(
                type="StageLoop",
                max_iters=iterations,
                val_interval=stage.val_interval or iterations,
                augment=self.augmentation(),
                accumulate=stage.accumulate,
                check_interval=interval,
            ),
            optim_wrapper=self.optim_wrapper(config.precision),
            param_scheduler=stage.schedulers() or None,
            default_hooks=dict(
                checkpoint=None,
                runtime_info=RecordLosses(interval),
                sampler_seed=None,  # our samplers have no epochs to seed
                logger=dict(type="LoggerHook", interval=interval),
            ),
            custom_hooks=self.hooks(evaluation) + hooks,
            launcher=settings.launcher,
            cfg=dict(model_wrapper_cfg=wrapper),
            log_processor=dict(by_epoch=False, window_size=interval),
            randomness=dict(seed=settings.seed, diff_rank_seed=True),
            visualizer=dict(type="Visualizer", vis_backends=backends, name=name),
            experiment_name=name,
            default_scope="mmengine",
            resume=resume,
            **evaluation,
        )

    def _write_evaluation(self, quality: ImageQuality, folder: Path) -> None:
        """Write the per-image scores of the last evaluation."""
        stage, settings = self.stage, self.settings
        evaluation = Evaluation(
            protocols={name: PROTOCOLS[name] for name in quality.protocols},
            methods={"result": quality.per_image},
            split={"part": "val", **settings.datamodule.split_record()["val"]},
            compared=[],
            about={"stage": stage.name, "iterations": stage.iterations, "seed": settings.seed},
        )
        write_evaluation(evaluation, folder / "evaluation", overwrite=True)

    @staticmethod
    def _outcome(runner: StageRunner) -> dict[str, Weights]:
        """Return the online and EMA weights of the trained parts."""
        model = runner.bare_model
        raw = {k: v.cpu().clone() for k, v in model.state_dict().items() if k.split(".")[0] in model.trained}
        if not all(bool(value.isfinite().all()) for value in raw.values()):
            raise UserError("training ended with non-finite weights: lower the learning rate or set clip_grad")
        average = checkpoint.average_of(runner)
        averaged = {} if average is None else {key: value.cpu() for key, value in average.part_state_dict().items()}
        return dict(raw=raw, average={**raw, **averaged})


def start_of_stage(start_from: str, changes: Collection[str], state: dict[str, Weights]) -> Weights:
    """Return the initial weights of a stage: EMA for frozen parts, ``start_from`` for trained ones."""
    chosen, average = state[start_from], state["average"]
    return {key: (chosen if key.split(".")[0] in changes else average)[key] for key in chosen}


def model_of_stage(config: dict[str, Any], changes: Collection[str], seed: int, state: Weights, of: str) -> Any:
    """Build the model of a stage with the weights trained so far.

    Args:
        config: config of the model.
        changes: the parts to train.
        seed: seed of the initial weights of untrained parts.
        state: the weights trained so far.
        of: name of the stage, for messages.
    """
    torch.manual_seed(seed)
    ready = {key.split(".")[0] for key in state}
    # Pretrained weights are only downloaded for parts without weights.
    with nullcontext() if set(changes) - ready else without_pretrained():
        model = build_model(config)
    for part in model.existing_parts():
        if weights := part_of(state, part):
            load_strictly(getattr(model, part), weights, f"the weights from before stage {of}")
    model.begin(set(changes) - ready)
    model.train_only([part for part in model.existing_parts() if part in changes])
    return model


CORNER = 64  # side in pixels of the crop on which losses are checked


def check_stage(run: StageRun) -> None:
    """Build all components of the stage, so that mistakes show before the first stage is trained.

    Raises:
        UserError: names the stage and the mistake.
    """
    stage = run.stage
    batch = run.augmentation()(default_collate([run.patches()[0]]), [0])
    share = StageBatches(stage.batch_size, 1, get_rank(), get_world_size()).share
    sizes = sorted(set(getattr(run.settings.datamodule.train_dataset, "sizes", ())))
    if stage.crop is None and share > 1 and len(sizes) > 1:
        raise UserError(
            f"stage {stage.name}: images of several sizes ({sizes[0]}, {sizes[1]}, ...) cannot be batched: "
            "set crop, or batch_size=1"
        )
    if share % stage.accumulate:
        raise UserError(
            f"stage {stage.name}: the {share} images of a step and process cannot be split into accumulate="
            f"{stage.accumulate} equal chunks: choose a divisor"
        )
    if stage.accumulate > 1 and run.model_class.separate_optimizers:
        raise UserError(
            f"stage {stage.name}: accumulate={stage.accumulate} does not work with a discriminator, which judges the "
            "whole batch: remove it, or choose a smaller batch_size"
        )
    try:
        weight = torch.nn.Parameter(torch.zeros(1))
        config = run.optim_wrapper("fp32")
        by_part = [value for value in config.values() if isinstance(value, dict) and "optimizer" in value]
        for wrapper_config in by_part or [config]:
            optimizer = OPTIMIZERS.build({**wrapper_config["optimizer"], "params": [weight]})
            wrapper = OPTIM_WRAPPERS.build({**wrapper_config, "optimizer": optimizer})
            for item in stage.schedulers():
                PARAM_SCHEDULERS.build({**item, "optimizer": wrapper})
        run.hooks({})
        _check_model(run, batch)
    except UserError as error:
        raise UserError(str(error) if str(error).startswith("stage ") else f"stage {stage.name}: {error}") from error
    except Exception as error:
        raise UserError(f"stage {stage.name}: {type(error).__name__}: {error}") from error


def _check_model(run: StageRun, batch: dict[str, Any]) -> None:
    """Check that the model can be trained on a batch of the stage.

    Raises:
        UserError: its losses cannot be computed, or it looks up priors by name for images that the stage changes.
    """
    stage = run.stage
    with without_pretrained():  # a check downloads nothing
        model = run.model({})
    if model.needs_names and (stage.augmentations or stage.crop or stage.reduce > 1):
        raise UserError(
            "precomputed priors fit only unchanged whole images: set augmentations=[], crop=None and reduce=1"
        )
    cloudy, clear = (batch[key][..., :CORNER, :CORNER] for key in ("cloudy", "clear"))
    model.check_training(cloudy, clear, batch["name"])
