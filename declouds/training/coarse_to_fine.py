"""A training run: all stages in turn, resumable at any iteration, ending in one weights file."""

import itertools
import json
import platform
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import barrier, get_world_size, is_main_process

import declouds
from declouds.atomic_file import replacing
from declouds.digests import file_digest
from declouds.errors import UserError
from declouds.layers.timm_encoder import without_pretrained
from declouds.models import build_model, model_class
from declouds.runs.recorder import RunRecord
from declouds.training import checkpoint
from declouds.training.config import read_config
from declouds.training.settings import Weights, given_parts, part_of, plain, settings_of, start_parts, without_places
from declouds.training.stage import Stage, read_stages, stage_configs
from declouds.training.stage_run import StageRun, check_stage, start_of_stage
from declouds.training.stage_store import DIGEST, INPUTS, StageStore, input_digest, stage_digest
from declouds.units import Units
from declouds.weights.file import load_strictly, save_weights


class CoarseToFine:
    """A run of all stages of a config.

    The constructor checks everything that can be checked before the first iteration.

    Args:
        config: the resolved config.
        work_dir: folder of the run.
        launcher: ``none``, ``pytorch`` or ``slurm``; the process group already exists.
        stages: folder of trained stages shared by runs, or None.

    Raises:
        UserError: invalid config, data or pretrained weights.
    """

    def __init__(self, config: Config, work_dir: Path, *, launcher: str = "none", stages: Path | None = None) -> None:
        self.config, self.work_dir = config, work_dir
        self.store = None if stages is None else StageStore(stages)
        self.settings = settings_of(config, launcher)
        self.model_class = model_class(self.settings.model_config)
        self.given = given_parts(self.settings)
        self.start = start_parts(self.settings)
        self.runs = list(self._stages_to_train(read_stages(stage_configs(config, self.model_class), self.model_class)))
        self._check_order()
        for run in self.runs:
            check_stage(run)

    def run(self, resume: bool = False) -> Path:
        """Train the remaining stages and return the weights file.

        Raises:
            UserError: the folder already holds a run and ``resume`` is not set, or holds a run of another config.
        """
        self._claim_work_dir(resume)
        with RunRecord(self.work_dir, self._about(), self.runs, self.settings.launcher) as story:
            given = self.given_state
            state: dict[str, Weights] = dict(raw=dict(given), average=dict(given))
            for run, digest, inputs in list(self._digests()):
                with self._claimed(digest):
                    outcome = self._outcome(run, digest, inputs, state, resume, story)
                state = {kind: {**state[kind], **outcome[kind]} for kind in state}
            target = self.work_dir / "model.safetensors"
            if is_main_process():
                final = self._final_state(state["average"])
                save_weights(target, self.settings.model_config, final, self.record(), overwrite=True)
                story.finish(dict(file=target.name, sha256=file_digest(target)))
            barrier()
        return target

    def stage_digests(self) -> list[str]:
        """Return the digest of each stage, its key in a store of trained stages."""
        return [digest for _, digest, _ in self._digests()]

    def _digests(self) -> Iterator[tuple[StageRun, str, str]]:
        """Yield each stage with its digest and that of its inputs; both include the origin of its parts' weights."""
        chain = {part: str(given.origin["sha256"]) for part, given in {**self.start, **self.given}.items()}
        inputs = dict(chain)
        for run in self.runs:
            digest, own_inputs = stage_digest(run, chain), input_digest(run, inputs)
            yield run, digest, own_inputs
            chain |= dict.fromkeys(run.changes, digest)
            inputs |= dict.fromkeys(run.changes, own_inputs)

    def _outcome(
        self, run: StageRun, digest: str, inputs: str, state: dict[str, Weights], resume: bool, story: RunRecord
    ) -> dict[str, Weights]:
        """Return the trained weights of a stage: finished before, shared by another run, or trained now."""
        folder = self.work_dir / f"{run.number}_{run.stage.name}"
        finished = folder / "finished.pth"
        trained_in = None
        begun = _begun(folder, inputs, run.stage)
        barrier()
        if finished.exists() and begun == run.stage.iterations:
            outcome = checkpoint.load(finished)
        elif self.store is not None and self.store.has(digest):
            outcome, trained_in = checkpoint.load(self.store.weights(digest)), self.store.trained_in(digest)
            if is_main_process():
                print(f"{run.title}: already trained in {trained_in}", flush=True)
        else:
            if is_main_process() and not folder.exists():
                folder.mkdir(parents=True)
                (folder / DIGEST).write_text(digest)
            if is_main_process():
                (folder / INPUTS).write_text(json.dumps(dict(digest=inputs, iterations=run.stage.iterations)))
            with story.training(run.stage.name):
                start = start_of_stage(run.stage.start_from, run.changes, state)
                outcome = run.train(start, folder, resume)
            if is_main_process():
                checkpoint.atomic_save(outcome, finished)
        if is_main_process() and self.store is not None:
            self.store.put(digest, outcome, folder)
        barrier()
        story.finish_stage(run.stage.name, trained_in)
        return outcome

    def _claimed(self, digest: str) -> AbstractContextManager[None]:
        # A distributed run does not wait for another run: its own barrier would time out.
        return nullcontext() if self.store is None or get_world_size() > 1 else self.store.claimed(digest)

    def record(self) -> dict[str, Any]:
        """Return the training record of the weights file."""
        trained = {run.stage.name for run in self.runs}
        units = getattr(self.settings.datamodule, "units", Units())
        return dict(
            splits=self.settings.datamodule.split_record(),
            units=dict(scale=units.scale, offset=units.offset),
            datamodule=plain(self.config.datamodule),
            stages=[plain(stage) for stage in stage_configs(self.config, self.model_class) if stage["name"] in trained],
            given={part: given.origin for part, given in {**self.start, **self.given}.items()},
            seed=self.settings.seed,
            precision=self.config.precision,
            processes=get_world_size(),
            versions=dict(python=platform.python_version(), torch=torch.__version__, declouds=declouds.__version__),
        )

    def _about(self) -> dict[str, Any]:
        """Return what the record of the run holds besides its costs."""
        return dict(
            config_file=self.config.filename,
            config={key: value for key, value in self.config.to_dict().items() if not key.startswith("_")},
            seed=self.settings.seed,
            data=self.settings.datamodule.split_record(),
            given={part: {key: given.origin[key] for key in ("file", "sha256")} for part, given in self.given.items()},
        )

    @property
    def given_state(self) -> Weights:
        """The pretrained weights that training starts from."""
        parts = {**self.start, **self.given}
        return {key: value for given in parts.values() for key, value in given.state.items()}

    def _stages_to_train(self, stages: list[Stage]) -> Iterator[StageRun]:
        """Yield the stages that train at least one part with weights."""
        for number, stage in enumerate(stages):
            given = set(stage.train) <= set(self.given)
            if given or not self.settings.learned.intersection(stage.train):
                if is_main_process():
                    why = "its weights are pretrained" if given else "its parts have no weights"
                    print(f"stage {stage.name} is skipped: {why}")
                continue
            yield StageRun(self.settings, stage, number, len(stages))

    def _check_order(self) -> None:
        """Check that every part is trained before a stage uses it, and by the end of the run.

        Raises:
            UserError: names the part and the fix.
        """
        have = {*self.given, *self.start}
        for run in self.runs:
            missing = run.used - have
            if missing:
                raise UserError(f"stage {run.stage.name}: {_missing_weights(sorted(missing)[0])}")
            have |= set(run.stage.train)
        for part in sorted(self.settings.learned - have):
            raise UserError(_missing_weights(part))
        for part in sorted({part for run in self.runs for part in run.helpers}):
            for first, second in itertools.pairwise([run for run in self.runs if part in run.helpers]):
                if first.model_config[part] != second.model_config[part]:
                    raise UserError(
                        f"stage {second.stage.name} continues the {part} of stage {first.stage.name}, but its config "
                        "differs: make them equal"
                    )

    def _claim_work_dir(self, resume: bool) -> None:
        """Record the config in the run's folder, or check that the existing run has the same config."""
        recorded = self.work_dir / "config.py"
        if not recorded.exists() and (self.work_dir.is_file() or list(self.work_dir.glob("*"))):
            raise UserError(f"{self.work_dir} is not empty and holds no run: give a new or empty --work-dir")
        if recorded.exists():
            if not resume:
                raise UserError(
                    f"{self.work_dir} already holds a run: continue with --resume, or give another --work-dir"
                )
            before = read_config(recorded)
            changed = _differing_keys(before, self.config)
            if "stages" in changed and self._is_longer(before):
                changed.remove("stages")
            data = [without_places(config.datamodule, self.settings.datamodule) for config in (before, self.config)]
            if "datamodule" in changed and data[0] == data[1]:  # each stage checks that the data are the same
                changed.remove("datamodule")
            if changed:
                raise UserError(
                    f"{self.work_dir} holds a run of another config ({', '.join(changed)} changed): resume with its "
                    "config, or give another --work-dir"
                )
        barrier()
        if is_main_process():
            try:
                self.work_dir.mkdir(parents=True, exist_ok=True)
                with replacing(recorded, only_writer=True) as temporary:  # atomic, since a resume reads it
                    self.config.dump(temporary)
            except OSError as error:
                raise UserError(f"{self.work_dir} is not writable ({error}): give another --work-dir") from error
        barrier()

    def _is_longer(self, before: Config) -> bool:
        """Return whether the only change is more iterations of the last stage."""
        old, new = list(plain(before.stages)), list(plain(self.config.stages))
        if len(old) != len(new) or not new or new[-1].get("iterations", 0) <= old[-1].get("iterations", 0):
            return False
        old[-1] = {**old[-1], "iterations": new[-1]["iterations"], "param_scheduler": new[-1].get("param_scheduler")}
        new[-1] = {**new[-1], "param_scheduler": new[-1].get("param_scheduler")}
        return old == new

    def _final_state(self, state: Weights) -> Weights:
        """Return the state dict of the full model."""
        with without_pretrained():  # all weights are here, so no download can fail at the end of a run
            model = build_model(self.settings.model_config)
        for part in sorted(self.settings.learned):
            load_strictly(getattr(model, part), part_of(state, part), "the trained weights")
        return model.state_dict()


def _begun(folder: Path, inputs: str, stage: Stage) -> int:
    """Return the number of iterations with which a stage was started in its folder, 0 if it was not.

    Raises:
        UserError: it was started with other data, weights or plugins.
    """
    path = folder / INPUTS
    if not path.exists():
        return 0
    before = json.loads(path.read_text())
    if before["digest"] != inputs:
        raise UserError(
            f"{folder}: stage {stage.name} was started with other data, weights or plugin code (the split file, a "
            "weights file or a plugin has changed): restore them, or train in another --work-dir"
        )
    return before["iterations"]


def _missing_weights(part: str) -> str:
    return (
        f"the {part} has no weights: set {part}_weights to a weights file, or add an earlier stage with "
        f"train=['{part}']"
    )


def _differing_keys(before: Config, now: Config) -> list[str]:
    """Return the top-level keys in which two configs differ, except those that do not affect the result."""
    old, new = before.to_dict(), now.to_dict()
    keys = (set(old) | set(new)) - {"num_workers", "log_interval", "checkpoint_interval", "val"}
    return sorted(key for key in keys if old.get(key) != new.get(key))
