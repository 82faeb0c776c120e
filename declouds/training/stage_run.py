"""One stage of a run: its model, its Runner, and what it leaves."""

from pathlib import Path
from time import perf_counter
from typing import Any

from mmengine.dist import get_rank, get_world_size, is_main_process

from declouds.errors import UserError
from declouds.evaluation.image_quality import ImageQuality
from declouds.evaluation.protocols import PROTOCOLS
from declouds.evaluation.tables import Evaluation, write_evaluation
from declouds.models import model_class
from declouds.training import (
    autocast,  # noqa: F401 (some register themselves)
    checkpoint,
    loop,  # noqa: F401 (some register themselves)
    part_optimizers,  # noqa: F401 (some register themselves)
)
from declouds.training.hooks.average_weights import AverageWeights
from declouds.training.hooks.draw_panels import DrawPanels
from declouds.training.hooks.save_checkpoints import SaveCheckpoints
from declouds.training.hooks.seed_iterations import SeedIterations
from declouds.training.hooks.show_progress import ShowProgress
from declouds.training.hooks.tiled_evaluation import TiledEvaluation
from declouds.training.runner import StageRunner
from declouds.training.settings import Settings
from declouds.training.stage import Stage
from declouds.training.stage_model import Weights, model_of_stage
from declouds.training.training_data import (
    EvaluationImages,
    StageBatches,
    TrainingPatches,
    evaluation_loader,
    train_loader,
)

TRIAL_ITERATIONS = 2


class StageRun:
    """One stage, ready to be trained.

    Args:
        settings: what the stages of the run share.
        stage: the stage.
        number: its place in the config, from 0.
        count: how many stages the config has.
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
        self.helpers = [part for part in existing if part not in whole.parts]  # trained along: a discriminator
        self.changes = (settings.learned & set(stage.train)) | set(self.helpers)
        self.used = (settings.learned & set(existing)) - set(stage.train)
        self.title = f"stage {number + 1}/{count} {stage.name}"

    def train(self, state: Weights, folder: Path, resume: bool) -> dict[str, Weights]:
        """Train the stage from ``state`` and return the ``raw`` and the ``average`` weights of what it has trained."""
        runner = self._runner(
            state, folder, self.stage.iterations, [self._checkpoints()], self._evaluation(folder), resume
        )
        runner.train()
        if is_main_process() and runner.val_loop is not None:
            self._write_evaluation(runner.val_evaluator.metrics[0], folder)
        return self._outcome(runner)

    def try_out(self, state: Weights, folder: Path) -> tuple[float, dict[str, Weights]]:
        """Train a few iterations, leave nothing, and return the seconds of one and the weights."""
        runner = self._runner(state, folder, TRIAL_ITERATIONS, [], {}, resume=False)
        started = perf_counter()
        runner.train()
        return (perf_counter() - started) / TRIAL_ITERATIONS, self._outcome(runner)

    def model(self, state: Weights) -> Any:
        """Build the model that the stage trains, with the weights of ``state``."""
        return model_of_stage(self.model_config, self.changes, self.settings.seed, state, self.stage.name)

    def optim_wrapper(self, amp: bool) -> dict[str, Any]:
        """Return the config of the optimiser wrapper, or of one for each part that changes."""
        parts = [part for part in self.model_class.parts if part in self.changes]
        return self.stage.optim_wrapper(amp, parts if self.model_class.separate_optimizers else ())

    def patches(self) -> TrainingPatches:
        """Return the training patches of the stage."""
        stage, train = self.stage, self.settings.datamodule.train_dataset
        return TrainingPatches(train, stage.reduce, stage.crop, stage.augmentations, self.settings.seed, self.number)

    def _checkpoints(self) -> SaveCheckpoints:
        return SaveCheckpoints(self.settings.config.get("checkpoint_interval", 1000))

    def _evaluation(self, folder: Path) -> dict[str, Any]:
        """Return the arguments of the Runner that make the evaluation loop; none without validation images."""
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
        """Put MMEngine's Runner together."""
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
        return StageRunner(
            model=self.model(state),
            work_dir=str(folder),
            train_dataloader=train_loader(self.patches(), batches, config.get("num_workers", 0)),
            train_cfg=dict(
                type="StageLoop",
                max_iters=iterations,
                val_interval=stage.val_interval or iterations,
                check_interval=interval,
            ),
            optim_wrapper=self.optim_wrapper(config.get("amp", False)),
            param_scheduler=stage.schedulers() or None,
            default_hooks=dict(
                checkpoint=None,
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
        """Write the scores of the last evaluation, image by image."""
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
        """Return the raw and the averaged weights of the parts that were trained."""
        model = runner.bare_model
        raw = {k: v.cpu().clone() for k, v in model.state_dict().items() if k.split(".")[0] in model.trained}
        if not all(bool(value.isfinite().all()) for value in raw.values()):
            raise UserError(
                "training has ended in weights that are no numbers: lower the learning rate or set clip_grad"
            )
        average = checkpoint.average_of(runner)
        averaged = {} if average is None else {key: value.cpu() for key, value in average.part_state_dict().items()}
        return dict(raw=raw, average={**raw, **averaged})
