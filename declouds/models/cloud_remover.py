"""The contract of models: what training, evaluation, scenes and reports ask of a method, whatever its parts."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, ClassVar

import torch
from mmengine.model import BaseModel

from declouds.errors import UserError
from declouds.scenes.sampling.passes import Pass, whole_passes
from declouds.sources import Source, read_sources
from declouds.value_range import ValueRange

Record = Callable[[dict[str, torch.Tensor]], None]


class CloudRemover(BaseModel):
    """A model made of named parts, some trained, the rest frozen.

    A method derives from this class, declares the class attributes below and gives `losses` and `predict`; then it is
    trained in stages, resumed, evaluated, compared and used on scenes like every other.

    Args:
        bands: bands of the image.
        in_bands: bands of the cloudy input, the first of which are those of the image; ``bands`` if not given.
        value_range: sensor values that stand for -1 and 1: part of the model's record, for files in sensor units.
        band_names: names of the bands, in order.
        inputs: the sources that the input is made of, as `Source`; one optical image if not given.

    Attributes:
        parts: attributes that hold the parts, in order.
        needs: part -> the other parts that its training needs; all of them for a part that is not listed.
        learned_with: part -> the entries of the config that its weights have learnt to work with; itself if not listed.
        sampling_entries: entries of the config that only sampling reads; they may change after training.
        stage_entries: what a stage may say for this model beside the general entries of a stage.
        separate_optimizers: ``train_step`` takes an optimiser for each trained part.
        unused_parameters: some trained parameters get no gradient.
        averages_gradients: ``train_step`` averages gradients over processes itself.
        recorded: what `predict` records of a step: name -> ``image`` in [-1, 1] or ``map`` in [0, 1].
        draws_noise: results depend on the start noise.
        variant_names: every name that `variants` may give.
        quality_band: what the extra band of `passes` with ``quality`` holds, if there is one.
    """

    parts: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    learned_with: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    sampling_entries: ClassVar[frozenset[str]] = frozenset()
    stage_entries: ClassVar[tuple[str, ...]] = ()
    separate_optimizers: ClassVar[bool] = False
    unused_parameters: ClassVar[bool] = False
    averages_gradients: ClassVar[bool] = False
    recorded: ClassVar[Mapping[str, str]] = {}
    draws_noise: ClassVar[bool] = False
    variant_names: ClassVar[tuple[str, ...]] = ()
    quality_band: str | None = None

    def __init__(
        self,
        bands: int = 3,
        in_bands: int | None = None,
        value_range: tuple[float, float] = (0.0, 255.0),
        band_names: Sequence[str] = (),
        inputs: Sequence[dict[str, Any]] | None = None,
    ) -> None:
        super().__init__()
        self.bands = bands
        self.in_bands = in_bands or bands
        self.value_range = ValueRange(*value_range)
        self.band_names = tuple(band_names)
        names = (
            self.band_names if len(self.band_names) == self.in_bands else tuple(map(str, range(1, self.in_bands + 1)))
        )
        image = Source("image", "optical", names, (self.value_range.low, self.value_range.high))
        self.inputs = (image,) if inputs is None else read_sources(inputs, self.in_bands)
        self.trained: frozenset[str] = frozenset()
        self.restore: Callable[..., torch.Tensor] | None = None  # evaluation in windows takes the place of `predict`

    # Training

    @classmethod
    def training_config(cls, config: dict[str, Any], train: Collection[str], options: dict[str, Any]) -> dict[str, Any]:
        """Return the config of the model that trains a stage: this one, without the parts that the stage does not need.

        Args:
            config: the complete config of the model.
            train: the parts that the stage trains.
            options: the stage's own `stage_entries`.

        Raises:
            UserError: the parts or the options do not fit this model.
        """
        check_parts(cls, train)
        wanted = set(train).union(*(cls.needs.get(part, cls.parts) for part in train))
        return {**config, **options, **{part: None for part in cls.parts if part not in wanted and part in config}}

    def check_training(self, cloudy: torch.Tensor, clear: torch.Tensor, name: list[str]) -> None:
        """Check, on a corner of a training image, that the losses can be computed.

        Raises:
            UserError: they cannot; says why.
        """

    def losses(
        self, cloudy: torch.Tensor, clear: torch.Tensor, name: list[str], valid: torch.Tensor | None = None
    ) -> dict[str, torch.Tensor]:
        """Return the named losses of a batch, to be summed.

        Args:
            cloudy: the cloudy images.
            clear: the clear images.
            name: names of the images.
            valid: where the images have data, (B, 1, H, W) bool, if some pixels do not: `only_valid` leaves these out.
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
        """Set training mode for the trained parts alone: MMEngine calls this before every iteration."""
        super().train(mode)
        for part in self.existing_parts():
            if part not in self.trained:
                getattr(self, part).eval()
        return self

    # Use

    @property
    def method(self) -> str:
        """What tables call this model."""
        return "result"

    @property
    def variants(self) -> tuple[str, ...]:
        """Other results of this model that can be measured beside its own: some of its class's `variant_names`."""
        return self.variant_names

    @property
    def baseline(self) -> str | None:
        """The variant that the model is compared with."""
        return None

    @property
    def needs_names(self) -> bool:
        """Whether a part looks images up by their names: then there are no crops and no windows."""
        return any(getattr(getattr(self, part), "needs_names", False) for part in self.existing_parts())

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
            variant: one of `variants` in place of the model's own result.
            record: is called with the `recorded` tensors of every step.

        Shapes: cloudy (B, in_bands, H, W), noise (B, bands, H, W) -> (B, bands, H, W), any H and W.
        Units: [-1, 1].
        """
        raise NotImplementedError

    def passes(
        self, *, variant: str | None = None, blend: str = "joint", samples: int = 1, quality: bool = False
    ) -> list[Pass]:
        """Return the passes that clear an image of any size, window by window.

        Args:
            variant: one of `variants` in place of the model's own result.
            blend: ``joint`` blends the windows at every step, ``final`` once at the end; the same for one step.
            samples: how often the image is cleared, each time from other noise.
            quality: add the `quality_band`, if there is one.

        Raises:
            UserError: a part looks images up by name, or more than one sample of a model that draws no noise.
        """
        self.check_passes(samples)
        return whole_passes(lambda cloudy, noise: self.predict(cloudy, noise, variant=variant), self.bands, samples)

    def check_passes(self, samples: int) -> None:
        """Refuse what no window can be cleared with.

        Raises:
            UserError: see `passes`.
        """
        if self.needs_names:
            raise UserError(
                f"this {type(self).__name__} looks its priors up by the names of images, so it cannot clear scenes: "
                "use a model that computes them"
            )
        if samples > 1 and not self.draws_noise:
            raise UserError("this model draws no noise, so all samples are equal: leave --samples out")

    def forward(self, cloudy: torch.Tensor, clear: torch.Tensor, name: list[str], mode: str, **extra: Any) -> Any:
        """Answer MMEngine: ``mode='loss'`` gives losses, ``mode='predict'`` one dict per image for the metrics.

        In ``predict`` mode the batch brings its start ``noise``, so that a result depends on the image alone.
        """
        if mode == "loss":
            gaps = {"valid": extra["valid"]} if extra.get("valid") is not None else {}
            return self.losses(cloudy, clear, name, **gaps)
        if self.restore is None:
            results = self.predict(cloudy, extra["noise"], name=name)
        else:
            results = self.restore(cloudy, name=name)
        samples = []
        for index, result in enumerate(results):
            sample = dict(result=result, clear=clear[index], name=name[index])
            samples.append(sample | {key: extra[key][index] for key in ("mask", "valid") if extra.get(key) is not None})
        return samples


def only_valid(output: torch.Tensor, target: torch.Tensor, valid: torch.Tensor | None) -> torch.Tensor:
    """Return ``output`` with the target in pixels without data, so that a loss is 0 and has no gradient there."""
    return output if valid is None else torch.where(valid, output, target)


def check_parts(model: type[CloudRemover], train: Collection[str]) -> None:
    """Check that a stage trains some of a model's parts.

    Raises:
        UserError: names the parts that there are.
    """
    unknown = [part for part in train if part not in model.parts]
    if unknown or not train:
        raise UserError(
            f"train is a list of parts of {model.__name__}, some of {', '.join(model.parts)}; got {list(train)}"
        )
