"""The model contract: what training, evaluation, scenes and reports require of every method."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import nn

from declouds.errors import UserError
from declouds.scenes.sampling.passes import Pass, whole_passes
from declouds.sources import Source, image_source, read_sources
from declouds.value_range import ValueRange

if TYPE_CHECKING:
    from mmengine.optim import OptimWrapper

Record = Callable[[dict[str, torch.Tensor]], None]


class CloudRemover(nn.Module):
    """A model of named parts, some trained, the rest frozen.

    A method derives from this class, declares the class attributes below and implements `losses` and `predict`. It can
    then be trained in stages, resumed, evaluated, compared and applied to scenes like any other.

    Args:
        bands: bands of the image.
        in_bands: bands of the cloudy input, the first ``bands`` of which are the image; ``bands`` if not given.
        value_range: sensor values that map to -1 and 1; stored with the model, for files in sensor units.
        band_names: names of the bands, in order.
        inputs: the sources that make up the input, as `Source`; one optical image if not given.
        any_units: trained on images of many sensors, each in a range of its own: a scene may have any units, and its
            range is found in it, see `declouds.scenes.sampling.scene_range`. ``value_range`` is then that of the
            training images alone.

    Attributes:
        parts: names of the attributes that hold the parts, in order.
        needs: part -> the other parts that its training needs; all parts if not listed.
        learned_with: part -> the config entries that its weights depend on; the part itself if not listed.
        sampling_entries: config entries that only sampling reads; they may change after training.
        stage_entries: entries that a stage may set for this model besides the general ones.
        fine_tuning: part -> share of the time of a fine-tuning, in the order of training; empty if it makes no sense.
        separate_optimizers: ``train_step`` takes one optimiser per trained part.
        unused_parameters: some trained parameters receive no gradient.
        averages_gradients: ``train_step`` averages gradients over processes itself.
        recorded: tensors that `predict` records at each step: name -> ``image`` in [-1, 1] or ``map`` in [0, 1].
        draws_noise: results depend on the start noise.
        variant_names: every name that `variants` may return.
        quality_band: description of the extra band of `passes` with ``quality``, if there is one.
        precision: ``fp32`` or ``bf16``, see `declouds.inference.use_precision`.
        record: what a weights file says of its training, once the model is loaded from one.
    """

    parts: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    learned_with: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    sampling_entries: ClassVar[frozenset[str]] = frozenset()
    stage_entries: ClassVar[tuple[str, ...]] = ()
    fine_tuning: ClassVar[Mapping[str, float]] = {}
    separate_optimizers: ClassVar[bool] = False
    unused_parameters: ClassVar[bool] = False
    averages_gradients: ClassVar[bool] = False
    recorded: ClassVar[Mapping[str, str]] = {}
    draws_noise: ClassVar[bool] = False
    variant_names: ClassVar[tuple[str, ...]] = ()
    quality_band: str | None = None
    precision = "fp32"
    place: torch.Tensor
    record: dict[str, Any]

    def __init__(
        self,
        bands: int = 3,
        in_bands: int | None = None,
        value_range: tuple[float, float] = (0.0, 255.0),
        band_names: Sequence[str] = (),
        inputs: Sequence[dict[str, Any]] | None = None,
        any_units: bool = False,
    ) -> None:
        super().__init__()
        self.register_buffer("place", torch.empty(0), persistent=False)  # lies on the device, whatever the parts are
        self.bands = bands
        self.in_bands = in_bands or bands
        self.value_range = ValueRange(*value_range)
        self.band_names = tuple(band_names)
        self.any_units = any_units
        image = image_source(self.in_bands, self.band_names, self.value_range)
        self.inputs: tuple[Source, ...] = (image,) if inputs is None else read_sources(inputs, self.in_bands)
        self.trained: frozenset[str] = frozenset()
        self.restore: Callable[..., torch.Tensor] | None = None  # evaluation in windows replaces `predict`

    # Training

    @classmethod
    def training_config(cls, config: dict[str, Any], train: Collection[str], options: dict[str, Any]) -> dict[str, Any]:
        """Return the model config of a training stage: ``config`` without the parts that it does not use.

        Args:
            config: the full config of the model.
            train: the parts that the stage trains.
            options: the stage's own `stage_entries`.

        Raises:
            UserError: the parts or options are not valid for this model.
        """
        check_parts(cls, train)
        wanted = set(train).union(*(cls.needs.get(part, cls.parts) for part in train))
        return {**config, **options, **{part: None for part in cls.parts if part not in wanted and part in config}}

    def begin(self, parts: Collection[str]) -> None:
        """Set the weights of parts that are about to be trained for the first time and start from those of others."""

    def check_training(self, cloudy: torch.Tensor, clear: torch.Tensor, name: list[str]) -> None:
        """Check, on a corner of a training image, that the losses can be computed.

        Raises:
            UserError: they cannot, with the reason.
        """

    def draw(self, clear: torch.Tensor) -> dict[str, torch.Tensor]:
        """Draw what is random in a training step: optional argument of `losses` -> tensor, one row per image.

        A step in several chunks draws once for the whole batch, and passes the rows of each chunk to `losses`, so that
        it is the same as in one.
        """
        return {}

    def losses(
        self, cloudy: torch.Tensor, clear: torch.Tensor, name: list[str], valid: torch.Tensor | None = None
    ) -> dict[str, torch.Tensor]:
        """Return the named losses of a batch, to be summed.

        Args:
            cloudy: the cloudy images.
            clear: the clear images.
            name: names of the images.
            valid: (B, 1, H, W) bool, False where the images have no data: `only_valid` excludes these pixels. None if
                all are valid.
        """
        raise NotImplementedError

    def existing_parts(self) -> list[str]:
        """Return the parts that this model was built with."""
        return [part for part in self.parts if getattr(self, part, None) is not None]

    def train_only(self, parts: Collection[str]) -> None:
        """Freeze everything but ``parts``.

        Raises:
            UserError: the model has no such part.
        """
        existing = self.existing_parts()
        unknown = sorted(set(parts) - set(existing))
        if unknown:
            raise UserError(
                f"{type(self).__name__} has no part {', '.join(unknown)} to train; it has {', '.join(existing)}"
            )
        self.trained = frozenset(parts)
        for part in existing:
            getattr(self, part).requires_grad_(part in self.trained)
        self.train(self.training)

    def train(self, mode: bool = True) -> "CloudRemover":
        """Set training mode for the trained parts only: MMEngine calls this before every iteration."""
        super().train(mode)
        for part in self.existing_parts():
            if part not in self.trained:
                getattr(self, part).eval()
        return self

    # Use

    @property
    def method(self) -> str:
        """Name of this model in tables."""
        return "result"

    @property
    def variants(self) -> tuple[str, ...]:
        """Alternative results of this model that can be evaluated too: a subset of `variant_names`."""
        return self.variant_names

    @property
    def baseline(self) -> str | None:
        """The variant that the model is compared against."""
        return None

    @property
    def needs_names(self) -> bool:
        """Whether a part looks images up by name, which rules out crops and windows."""
        return any(getattr(getattr(self, part), "needs_names", False) for part in self.existing_parts())

    @property
    def steps(self) -> int | None:
        """Number of sampling steps; None for a model that has none."""
        return None

    def set_steps(self, steps: int) -> None:
        """Set the number of sampling steps.

        Raises:
            UserError: the model has no steps to set, or its process has fewer.
        """
        raise UserError("this model has no number of sampling steps to set: omit --steps")

    def predict(
        self,
        cloudy: torch.Tensor,
        noise: torch.Tensor,
        *,
        name: list[str] | None = None,
        variant: str | None = None,
        record: Record | None = None,
    ) -> torch.Tensor:
        """Return the clear image.

        Args:
            cloudy: the cloudy images.
            noise: standard normal start noise.
            name: names of the images, for parts that look them up.
            variant: one of `variants` instead of the model's own result.
            record: called with the `recorded` tensors of every step.

        Shapes: cloudy (B, in_bands, H, W), noise (B, bands, H, W) -> (B, bands, H, W), any H and W.
        Units: [-1, 1].
        """
        raise NotImplementedError

    def passes(
        self, *, variant: str | None = None, blend: str = "joint", samples: int = 1, quality: bool = False
    ) -> list[Pass]:
        """Return the passes that clear an image of any size, window by window.

        Args:
            variant: one of `variants` instead of the model's own result.
            blend: ``joint`` blends the windows at every step, ``final`` once at the end; equal for a single step.
            samples: number of results, each from different noise.
            quality: add the `quality_band`, if there is one.

        Raises:
            UserError: a part looks images up by name, or more than one sample of a model that draws no noise.
        """
        self.check_passes(samples)
        return whole_passes(lambda cloudy, noise: self.predict(cloudy, noise, variant=variant), self.bands, samples)

    def check_passes(self, samples: int) -> None:
        """Check that this model can clear windows.

        Raises:
            UserError: see `passes`.
        """
        if self.needs_names:
            raise UserError(
                f"this {type(self).__name__} looks its priors up by image name, so it cannot clear scenes: "
                "use a model that computes its priors"
            )
        if samples > 1 and not self.draws_noise:
            raise UserError("this model draws no noise, so all samples would be equal: omit --samples")

    # What MMEngine's runner, its wrapper for several processes and its evaluation call. MMEngine has a base class with
    # all this; importing it brings what trains on many machines, and half as much again to the start of a `predict`.

    def data_preprocessor(self, batch: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """Return the batch with its tensors on the device of the model, copied beside the computation."""
        tensors = {key: value for key, value in batch.items() if isinstance(value, torch.Tensor)}
        return batch | {key: value.to(self.place.device, non_blocking=True) for key, value in tensors.items()}

    def train_step(self, data: dict[str, Any], optim_wrapper: "OptimWrapper") -> dict[str, torch.Tensor]:
        """Take one optimisation step, and return the losses."""
        with optim_wrapper.optim_context(self):
            losses = self(**self.data_preprocessor(data, True), mode="loss")
        total, losses = self.parse_losses(losses)
        optim_wrapper.update_params(total)
        return losses

    def parse_losses(self, losses: dict[str, torch.Tensor]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return the sum of the losses, and all of them with it."""
        total = sum_of(losses)
        return total, dict(loss=total, **losses)

    def val_step(self, data: dict[str, Any]) -> list[dict[str, Any]]:
        """Return what `forward` gives the metrics."""
        return self(**self.data_preprocessor(data), mode="predict")

    test_step = val_step

    def forward(self, cloudy: torch.Tensor, clear: torch.Tensor, name: list[str], mode: str, **extra: Any) -> Any:
        """Called by MMEngine: ``mode='loss'`` returns losses, ``mode='predict'`` one dict per image for the metrics.

        In ``predict`` mode the batch contains its start ``noise``, so that a result depends on the image only.
        """
        if mode == "loss":
            gaps = {"valid": extra["valid"]} if extra.get("valid") is not None else {}
            return self.losses(cloudy, clear, name, **gaps, **extra.get("drawn", {}))
        if self.restore is None:
            results = self.predict(cloudy, extra["noise"], name=name)
        else:
            results = self.restore(cloudy, name=name)
        samples = []
        for index, result in enumerate(results):
            sample = dict(result=result, clear=clear[index], name=name[index])
            samples.append(sample | {key: extra[key][index] for key in ("mask", "valid") if extra.get(key) is not None})
        return samples


def sum_of(losses: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Return the sum of named losses."""
    return torch.stack(list(losses.values())).sum()


def only_valid(output: torch.Tensor, target: torch.Tensor, valid: torch.Tensor | None) -> torch.Tensor:
    """Replace invalid pixels of ``output`` by the target, so that the loss and its gradient are 0 there."""
    return output if valid is None else torch.where(valid, output, target)


def check_parts(model: type[CloudRemover], train: Collection[str]) -> None:
    """Check that ``train`` is a non-empty list of the model's parts.

    Raises:
        UserError: it is not; lists the model's parts.
    """
    unknown = [part for part in train if part not in model.parts]
    if unknown or not train:
        raise UserError(f"train must list parts of {model.__name__} ({', '.join(model.parts)}), got {list(train)}")
