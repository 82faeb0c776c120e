"""Config of one stage of coarse-to-fine training."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from declouds.errors import UserError, did_you_mean
from declouds.models.cloud_remover import CloudRemover, check_parts

INTEGERS = ("iterations", "batch_size", "reduce", "crop", "val_interval", "accumulate")  # keys of a stage, at least 1

FUSED = ("Adam", "AdamW")  # torch's optimisers that take a step in one kernel on every device that we train on


@dataclass(frozen=True)
class Stage:
    """Settings of one stage.

    Args:
        name: name of the stage and its folder.
        train: the parts of the model to train. Everything else stays bit-identical.
        iterations: optimisation steps.
        batch_size: images per step over all processes.
        lr: learning rate, passed to ``optimizer``; part -> learning rate if each part has its own optimiser.
        reduce: downsampling factor, applied before cropping.
        crop: side of the training patch in downsampled pixels; None uses whole images.
        augmentations: names (or dicts) of kornia augmentations.
        start_from: ``average`` (EMA) or ``raw`` (online) weights of the previous stages.
        optimizer: config of the optimiser.
        param_scheduler: configs of MMEngine's learning rate schedulers, in iterations.
        clip_grad: max norm of the gradient, or None.
        val_interval: iterations between evaluations; None evaluates only at the end.
        accumulate: number of equal chunks in which a process computes a step, to save memory; gradients are averaged.
        recompute: recompute activations of U-Nets in the backward pass: less memory, a third more time, same gradients.
        options: entries of the stage that the model defines, see `CloudRemover.stage_entries`.

    Raises:
        UserError: unknown or missing key, or invalid value.
    """

    name: str
    train: tuple[str, ...]
    iterations: int
    batch_size: int
    lr: float | dict[str, float]
    reduce: int = 1
    crop: int | None = None
    augmentations: tuple[Any, ...] = ("RandomHorizontalFlip",)
    start_from: str = "average"
    optimizer: Any = None
    param_scheduler: tuple[dict, ...] = ()
    clip_grad: float | None = None
    val_interval: int | None = None
    accumulate: int = 1
    recompute: bool = False
    options: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_config(cls, config: dict[str, Any], model: type[CloudRemover]) -> "Stage":
        """Read a stage of a ``model`` from its dict."""
        general = [entry.name for entry in fields(cls) if entry.name != "options"]
        known = [*general, *model.stage_entries]
        name = config.get("name", "(unnamed)")
        for key in config:
            if key not in known:
                hint = did_you_mean(key, known)
                raise UserError(f"stage {name}: unknown key {key!r}: {hint}known: {', '.join(known)}")
        missing = [key for key in ("name", "train", "iterations", "batch_size", "lr") if key not in config]
        if missing:
            raise UserError(f"stage {name}: {', '.join(missing)} missing: add to the stage")
        if not isinstance(config["train"], list | tuple):
            raise UserError(f"stage {name}: train must be a list of parts of the model, got {config['train']!r}")
        try:
            check_parts(model, config["train"])
        except UserError as error:
            raise UserError(f"stage {name}: {error}") from error
        for key in INTEGERS:
            if not isinstance(config.get(key), int | None) or isinstance(config.get(key), bool):
                raise UserError(f"stage {name}: {key} must be an integer, got {config[key]!r}")
        if not isinstance(config.get("recompute", False), bool):
            raise UserError(f"stage {name}: recompute must be True or False, got {config['recompute']!r}")
        values: dict[str, Any] = {
            key: tuple(config[key]) if isinstance(config[key], list) else config[key]
            for key in general
            if key in config
        }
        return cls(**values, options={key: config[key] for key in model.stage_entries if key in config})

    def __post_init__(self) -> None:
        for key in INTEGERS:
            if getattr(self, key) is not None and getattr(self, key) < 1:
                raise UserError(f"stage {self.name}: {key} must be at least 1, got {getattr(self, key)}")
        rates = self.lr if isinstance(self.lr, dict) else {"lr": self.lr}
        for key, value in {**rates, **({} if self.clip_grad is None else {"clip_grad": self.clip_grad})}.items():
            if not isinstance(value, int | float) or isinstance(value, bool) or not value > 0:
                raise UserError(f"stage {self.name}: {key} must be a positive number, got {value!r}")
        if self.start_from not in ("average", "raw"):
            raise UserError(f"stage {self.name}: start_from must be 'average' or 'raw', got {self.start_from!r}")

    def schedulers(self) -> list[dict[str, Any]]:
        """Return the configs of the learning rate schedulers, by iteration unless set otherwise."""
        return [{"by_epoch": False, **item} for item in self.param_scheduler]

    def optim_wrapper(self, precision: str, parts: Sequence[str] = ()) -> dict[str, Any]:
        """Return the config of MMEngine's optimiser wrapper, or one per part of ``parts``.

        Raises:
            UserError: the parts of ``lr`` are not those with an optimiser.
        """
        rates = self.lr if isinstance(self.lr, dict) else dict.fromkeys(parts, self.lr)
        if set(rates) != set(parts):
            expected = f"a number, or one for each of {', '.join(parts)}" if parts else "one number"
            raise UserError(f"stage {self.name}: lr must be {expected}, got {self.lr}")
        if isinstance(self.lr, dict) or parts:
            return dict(constructor="PartOptimizers", **{part: self._wrapper(precision, rates[part]) for part in parts})
        return self._wrapper(precision, self.lr)

    def _wrapper(self, precision: str, lr: float) -> dict[str, Any]:
        optimizer = dict(self.optimizer or dict(type="AdamW", weight_decay=0.0), lr=lr)
        if optimizer.get("type") in FUSED and not {"fused", "foreach", "differentiable"} & optimizer.keys():
            optimizer["fused"] = True
        clip = None if self.clip_grad is None else dict(max_norm=self.clip_grad)
        kind = "AutocastOptimWrapper" if precision == "bf16" else "StageOptimWrapper"
        return dict(type=kind, optimizer=optimizer, clip_grad=clip, accumulative_counts=self.accumulate)


def read_stages(configs: Sequence[dict[str, Any]], model: type[CloudRemover]) -> list[Stage]:
    """Read all stages of a run of a ``model``.

    Raises:
        UserError: no stages, or two with the same name.
    """
    stages = [Stage.from_config(config, model) for config in configs]
    names = [stage.name for stage in stages]
    if not stages:
        raise UserError("the config has no stages: add `stages = [dict(name=..., train=[...], ...)]`")
    if len(set(names)) < len(names):
        raise UserError(f"two stages have the same name: {', '.join(names)}: rename one")
    return stages


def stage_configs(config: Any, model: type[CloudRemover]) -> list[dict[str, Any]]:
    """Return the stages of a config, those of single parts (``PART_stages``) first.

    Raises:
        UserError: an entry is not a list.
    """
    keys = [*(f"{part}_stages" for part in model.parts), "stages"]
    for key in keys:
        if not isinstance(config.get(key, []), list | tuple):
            raise UserError(f"{key} must be a list of stages, [dict(name=..., train=[...], ...)], got {config[key]!r}")
    return [stage for key in keys for stage in config.get(key, [])]
