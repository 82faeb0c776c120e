"""One stage of a run: its model, its Runner, and what it leaves."""

from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import get_rank, get_world_size, is_main_process
from mmengine.registry import OPTIM_WRAPPERS, OPTIMIZERS, PARAM_SCHEDULERS

from declouds.engine import autocast, checkpoint, loop, part_optimizers  # noqa: F401 (some register themselves)
from declouds.engine.hooks.average_weights import AverageWeights
from declouds.engine.hooks.draw_panels import DrawPanels
from declouds.engine.hooks.save_checkpoints import SaveCheckpoints
from declouds.engine.hooks.seed_iterations import SeedIterations
from declouds.engine.hooks.show_progress import ShowProgress
from declouds.engine.hooks.tiled_evaluation import TiledEvaluation
from declouds.engine.runner import StageRunner
from declouds.engine.stage import Stage
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
from declouds.models import build_model
from declouds.models.one_pass import build_loss
from declouds.registry import DISCRIMINATORS, REFERENCES
from declouds.report.tables import Evaluation, write_evaluation
from declouds.weights.file import load_strictly

Weights = dict[str, torch.Tensor]
RECORD = ("bands", "in_bands", "value_range", "band_names")  # what every model is told of the data
TRIAL_ITERATIONS = 2


@dataclass(frozen=True)
class Settings:
    """What the stages of a run share.

    Args:
        config: the resolved config.
        datamodule: the data, set up for training.
        model_config: the model's config, bands and units filled in.
        learned: the parts of the model that have weights.
        launcher: ``none``, ``pytorch`` or ``slurm``.
    """

    config: Config
    datamodule: Any
    model_config: dict[str, Any]
    learned: frozenset[str]
    launcher: str

    @property
    def seed(self) -> int:
        """Seed of the run."""
        return self.config.get("seed", 0)


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

    def start(self, state: dict[str, Weights]) -> Weights:
        """Choose where the stage starts: frozen parts from their averages, trained ones as ``start_from`` says."""
        chosen, average = state[self.stage.start_from], state["average"]
        return {key: (chosen if key.split(".")[0] in self.stage.changes else average)[key] for key in chosen}

    def check(self) -> None:
        """Build everything that the stage is made of, so that a mistake shows before the first stage has run.

        Raises:
            UserError: names the stage and what is wrong.
        """
        stage = self.stage
        self.patches()[0]
        share = StageBatches(stage.batch_size, 1, get_rank(), get_world_size()).share
        sizes = sorted(set(getattr(self.settings.datamodule.train_dataset, "sizes", ())))
        if stage.crop is None and share > 1 and len(sizes) > 1:
            raise UserError(
                f"stage {stage.name}: images of several sizes ({sizes[0]}, {sizes[1]}, ...) make no batch of whole "
                "images: set crop, or batch_size=1"
            )
        try:
            weight = torch.nn.Parameter(torch.zeros(1))
            config = stage.optim_wrapper(False)
            config = config.get("reference", config)  # that of a discriminator differs in its learning rate alone
            optimizer = OPTIMIZERS.build({**config["optimizer"], "params": [weight]})
            wrapper = OPTIM_WRAPPERS.build({**config, "optimizer": optimizer})
            for item in stage.schedulers():
                PARAM_SCHEDULERS.build({**item, "optimizer": wrapper})
            self._hooks({})
            for loss in [*stage.losses, *filter(None, [stage.adversarial_loss])]:
                build_loss(loss)
            if stage.discriminator is not None:
                DISCRIMINATORS.build(stage.discriminator)
        except UserError as error:
            raise UserError(f"stage {stage.name}: {error}") from error
        except Exception as error:
            raise UserError(f"stage {stage.name}: {type(error).__name__}: {error}") from error
        changed = stage.augmentations or stage.crop or stage.reduce > 1
        if "fusion" in stage.train and changed and self._looks_up_priors():
            raise UserError(
                f"stage {stage.name}: priors are looked up for whole images as they are: set augmentations=[], "
                "crop=None and reduce=1"
            )

    def _looks_up_priors(self) -> bool:
        reference = self.settings.model_config.get("reference") or {}
        return bool(reference) and getattr(REFERENCES.find(reference["type"]), "needs_names", False)

    def try_out(self, state: Weights, folder: Path) -> tuple[float, dict[str, Weights]]:
        """Train a few iterations, leave nothing, and return the seconds of one and the weights."""
        runner = self._runner(state, folder, TRIAL_ITERATIONS, [], {}, resume=False)
        started = perf_counter()
        runner.train()
        return (perf_counter() - started) / TRIAL_ITERATIONS, self._outcome(runner)

    def uses(self) -> set[str]:
        """Return the parts with weights that the stage needs trained already."""
        if self.stage.train == ("reference",):
            return set()
        needed = {"denoiser", "reference"} if "fusion" in self.stage.train else {"denoiser"}
        return (needed & self.settings.learned) - set(self.stage.train)

    def patches(self) -> TrainingPatches:
        """Return the training patches of the stage."""
        stage, train = self.stage, self.settings.datamodule.train_dataset
        return TrainingPatches(train, stage.reduce, stage.crop, stage.augmentations, self.settings.seed)

    def _model(self, state: Weights) -> Any:
        """Build the parts that the stage trains, and those that have weights by now or need none."""
        config, learned = self.settings.model_config, self.settings.learned
        torch.manual_seed(self.settings.seed)
        if self.stage.train == ("reference",):
            record: dict[str, Any] = {key: config[key] for key in RECORD if key in config}
            model = build_model({**self._training_of_reference(), "reference": config["reference"], **record})
        else:
            ready = {key.split(".")[0] for key in state} | set(self.stage.train)
            if not learned & {"reference", "fusion"} <= ready:
                config = {**config, "fusion": None, "reference": None}
            model = build_model(config)
        for part in model.existing_parts():
            if weights := part_of(state, part):
                load_strictly(getattr(model, part), weights, f"the weights of the stages before {self.stage.name}")
        model.train_only((learned | {"discriminator"}) & self.stage.changes)
        return model

    def _training_of_reference(self) -> dict[str, Any]:
        """Return the model that trains a reference alone, and its losses."""
        stage = self.stage
        if stage.discriminator is None:
            return dict(type="OnePass", losses=stage.losses)
        return dict(
            type="Adversarial",
            losses=stage.losses,
            discriminator=stage.discriminator,
            adversarial_loss=stage.adversarial_loss,
            gradient_penalty=stage.gradient_penalty,
        )

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

    def _hooks(self, evaluation: dict[str, Any]) -> list[Any]:
        config, stage = self.settings.config, self.stage
        hooks: list[Any] = [SeedIterations(self.settings.seed, self.number), ShowProgress(self.title, stage.batch_size)]
        if config.get("ema") is not None:
            hooks.append(AverageWeights(**config.ema))
        if evaluation:
            val = config.get("val", {})
            tile = val.get("tile") or (stage.crop or 256) * stage.reduce
            hooks.append(TiledEvaluation(tile=tile, overlap=val.get("overlap", tile // 4)))
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
            find_unused_parameters=stage.train == ("reference",),  # official references hold unused layers
        )
        return StageRunner(
            model=self._model(state),
            work_dir=str(folder),
            train_dataloader=train_loader(self.patches(), batches, config.get("num_workers", 0)),
            train_cfg=dict(type="StageLoop", max_iters=iterations, val_interval=stage.val_interval or iterations),
            optim_wrapper=stage.optim_wrapper(config.get("amp", False)),
            param_scheduler=stage.schedulers() or None,
            default_hooks=dict(
                checkpoint=None,
                sampler_seed=None,  # our samplers have no epochs to seed
                logger=dict(type="LoggerHook", interval=interval),
            ),
            custom_hooks=self._hooks(evaluation) + hooks,
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


def part_of(state: Weights, part: str) -> Weights:
    """Return the weights of one part of a model, without the part's name."""
    return {key.removeprefix(f"{part}."): value for key, value in state.items() if key.startswith(f"{part}.")}
