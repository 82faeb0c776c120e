"""One stage of coarse-to-fine training, as its config says."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from declouds.errors import UserError


@dataclass(frozen=True)
class Stage:
    """What a stage trains, on what, and how.

    Args:
        name: name of the stage and of its folder.
        train: the parts that change: ``['reference']`` alone (a model of its own), or any of ``denoiser`` and
            ``fusion``. Everything else stays bit-identical.
        iterations: optimisation steps.
        batch_size: images of a step over all processes.
        lr: learning rate, put into ``optimizer``.
        reduce: factor by which images are reduced before cropping.
        crop: side of the training patch in reduced pixels; None takes whole images.
        augmentations: names (or dicts) of kornia augmentations.
        start_from: ``average`` or ``raw`` weights of the stages before.
        losses: losses of a reference's own training, each with an optional ``weight`` and output that it is ``of``.
        discriminator: config of what a reference is trained against; None trains it without.
        adversarial_loss: config of the loss of the discriminator's logits, ``weight`` is the reference's share.
        gradient_penalty: weight of WGAN-GP's penalty; 0 leaves it out.
        discriminator_lr: learning rate of the discriminator; ``lr`` if not given.
        optimizer: config of the optimiser.
        param_scheduler: configs of MMEngine's learning rate schedulers, in iterations.
        clip_grad: greatest norm of the gradient, or None.
        val_interval: iterations between evaluations; None evaluates at the end alone.

    Raises:
        UserError: an unknown or missing key, or a value that makes no sense.
    """

    name: str
    train: tuple[str, ...]
    iterations: int
    batch_size: int
    lr: float
    reduce: int = 1
    crop: int | None = None
    augmentations: tuple[Any, ...] = ("RandomHorizontalFlip",)
    start_from: str = "average"
    losses: tuple[dict, ...] = (dict(type="L1"),)
    discriminator: dict | None = None
    adversarial_loss: dict | None = None
    gradient_penalty: float = 0.0
    discriminator_lr: float | None = None
    optimizer: Any = None
    param_scheduler: tuple[dict, ...] = ()
    clip_grad: float | None = None
    val_interval: int | None = None

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Stage":
        """Read a stage from its dict."""
        known = [field.name for field in fields(cls)]
        name = config.get("name", "(unnamed)")
        for key in config:
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                hint = f"did you mean {near[0]!r}? " if near else ""
                raise UserError(f"stage {name}: unknown key {key!r}: {hint}known: {', '.join(known)}")
        missing = [key for key in ("name", "train", "iterations", "batch_size", "lr") if key not in config]
        if missing:
            raise UserError(f"stage {name}: {', '.join(missing)} missing")
        if not isinstance(config["train"], list | tuple):
            raise UserError(
                f"stage {name}: train is a list of parts, for example ['denoiser'], not {config['train']!r}"
            )
        for key in ("iterations", "batch_size", "reduce", "crop", "val_interval"):
            if not isinstance(config.get(key), int | None):
                raise UserError(f"stage {name}: {key} is a whole number, not {config[key]!r}")
        for key in ("lr", "clip_grad", "gradient_penalty", "discriminator_lr"):
            if not isinstance(config.get(key), int | float | None):
                raise UserError(f"stage {name}: {key} is a number, not {config[key]!r}")
        _check_losses(name, config)
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in config.items()
        }
        return cls(**values)

    def __post_init__(self) -> None:
        train = set(self.train)
        if not train or train - {"reference", "denoiser", "fusion"} or ("reference" in train and len(train) > 1):
            raise UserError(
                f"stage {self.name}: train is ['reference'] alone, or some of 'denoiser' and 'fusion'; got "
                f"{list(self.train)}"
            )
        for key in ("iterations", "batch_size", "reduce", "crop", "val_interval"):
            if getattr(self, key) is not None and getattr(self, key) < 1:
                raise UserError(f"stage {self.name}: {key} is at least 1, not {getattr(self, key)}")
        for key in ("lr", "clip_grad", "discriminator_lr"):
            if getattr(self, key) is not None and not getattr(self, key) > 0:
                raise UserError(f"stage {self.name}: {key} is above 0, not {getattr(self, key)}")
        if not self.gradient_penalty >= 0:
            raise UserError(f"stage {self.name}: gradient_penalty is 0 or more, not {self.gradient_penalty}")
        if not self.losses:
            raise UserError(f"stage {self.name}: losses is a list of at least one loss, [dict(type='L1')]")
        if (self.discriminator is None) != (self.adversarial_loss is None):
            raise UserError(f"stage {self.name}: discriminator and adversarial_loss go together: give both or neither")
        if self.discriminator is not None and train != {"reference"}:
            raise UserError(f"stage {self.name}: a discriminator trains a reference: set train=['reference']")
        if self.discriminator is None and (self.gradient_penalty or self.discriminator_lr):
            raise UserError(f"stage {self.name}: gradient_penalty and discriminator_lr need a discriminator")
        if self.start_from not in ("average", "raw"):
            raise UserError(f"stage {self.name}: start_from is 'average' or 'raw', not {self.start_from!r}")

    @property
    def changes(self) -> frozenset[str]:
        """The parts whose weights change, the discriminator included."""
        return frozenset(self.train) | ({"discriminator"} if self.discriminator else set())

    def schedulers(self) -> list[dict[str, Any]]:
        """Return the learning rate schedulers, which count iterations unless they say otherwise."""
        return [{"by_epoch": False, **item} for item in self.param_scheduler]

    def optim_wrapper(self, amp: bool) -> dict[str, Any]:
        """Return the config of MMEngine's optimiser wrapper, or of two where there is a discriminator."""
        own = self._optim_wrapper(amp, self.lr)
        if self.discriminator is None:
            return own
        opposing = self._optim_wrapper(amp, self.lr if self.discriminator_lr is None else self.discriminator_lr)
        return dict(constructor="PartOptimizers", reference=own, discriminator=opposing)

    def _optim_wrapper(self, amp: bool, lr: float) -> dict[str, Any]:
        optimizer = dict(self.optimizer or dict(type="AdamW", weight_decay=0.0), lr=lr)
        clip = None if self.clip_grad is None else dict(max_norm=self.clip_grad)
        return dict(type="AutocastOptimWrapper" if amp else "OptimWrapper", optimizer=optimizer, clip_grad=clip)


def _check_losses(name: str, config: dict[str, Any]) -> None:
    """Check that every loss of a stage's config is a dict whose weight, if any, is a number."""
    losses = config.get("losses", ())
    entries = [*losses] if isinstance(losses, list | tuple) else [losses]
    if config.get("adversarial_loss") is not None:
        entries.append(config["adversarial_loss"])
    for loss in entries:
        if not isinstance(loss, dict) or not isinstance(loss.get("weight", 1), int | float):
            raise UserError(f"stage {name}: a loss is dict(type=..., weight=NUMBER, ...), not {loss!r}")


def read_stages(configs: Sequence[dict[str, Any]]) -> list[Stage]:
    """Read all stages of a run.

    Raises:
        UserError: there is none, or two have one name.
    """
    stages = [Stage.from_config(config) for config in configs]
    names = [stage.name for stage in stages]
    if not stages:
        raise UserError("the config has no stages: give `stages = [dict(name=..., train=[...], ...)]`")
    if len(set(names)) < len(names):
        raise UserError(f"two stages have one name: {', '.join(names)}")
    return stages
