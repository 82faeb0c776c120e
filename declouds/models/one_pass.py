"""A reference network trained or used on its own."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import nn
from torch.nn import functional

from declouds.errors import UserError
from declouds.models.cloud_remover import CloudRemover, Record, check_parts, only_valid
from declouds.registry import LOSSES, MODELS, REFERENCES

NEIGHBOURHOOD = 25  # pixels a side of the squares in which texture is measured


@MODELS.register_module()
class OnePass(CloudRemover):
    """One-pass network, cloudy in, clear out, trained with reconstruction losses.

    A reference may define ``training_outputs(cloudy, clear)``, which returns a dict of outputs that losses apply to.
    ``restorations`` is a list of estimates of the clear image, each supervised, as in MPRNet (Zamir et al. 2021, arXiv
    2102.02808, equation 3); ``attention`` is compared with `attention_target`; any other output (the latent code of an
    autoencoder) is passed to its loss without a target. A reference without this method has one restoration: its prior.

    Args:
        reference: config of the network.
        losses: configs of losses, each with an optional ``weight`` and ``of``, the output that it applies to (default:
            the restorations).
        leave_flat: two textures, see `texture`. An image, or window of a scene, is returned as it is if both it and the
            estimate have less than the first, and cleared if either has more than the second; between them the two are
            blended. Where nothing but a colour is seen, haze and bright ground look the same. If None, every image is
            cleared.
        **record: ``bands``, ``in_bands``, ``value_range``, ``band_names`` and ``inputs``, as ``CloudRemover``.

    Raises:
        UserError: ``leave_flat`` is not two rising numbers.
    """

    parts: ClassVar[tuple[str, ...]] = ("reference",)
    sampling_entries: ClassVar[frozenset[str]] = frozenset(("leave_flat",))
    stage_entries: ClassVar[tuple[str, ...]] = ("losses", "discriminator", "adversarial_loss", "gradient_penalty")
    fine_tuning: ClassVar[Mapping[str, float]] = dict(reference=1.0)
    unused_parameters: ClassVar[bool] = True  # official references hold unused layers

    def __init__(
        self,
        reference: dict,
        losses: Sequence[dict] = (dict(type="L1"),),
        leave_flat: Sequence[float] | None = None,
        **record: Any,
    ) -> None:
        super().__init__(**record)
        if leave_flat is not None and not (len(leave_flat) == 2 and 0 <= leave_flat[0] < leave_flat[1]):
            raise UserError(f"leave_flat = {leave_flat}: give two rising numbers, such as [0.04, 0.06], or None")
        self.leave_flat = leave_flat
        self.reference = REFERENCES.build(reference, bands=self.bands, in_bands=self.in_bands, inputs=self.inputs)
        self.loss_weights = [loss.get("weight", 1.0) for loss in losses]
        self.loss_of = [loss.get("of", "restorations") for loss in losses]
        self.loss_terms = nn.ModuleList(build_loss(loss) for loss in losses)
        self.train_only([])

    @classmethod
    def training_config(cls, config: dict[str, Any], train: Collection[str], options: dict[str, Any]) -> dict[str, Any]:
        """Return the config that trains the reference, against a discriminator if the stage has one."""
        check_parts(OnePass, train)
        return training_of_reference(config, options)

    def check_training(self, cloudy: torch.Tensor, clear: torch.Tensor, name: list[str]) -> None:
        """Compute the losses once, so that a loss that does not fit the network fails before training."""
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            self.losses(cloudy, clear, name)

    @torch.no_grad()
    def predict(
        self,
        cloudy: torch.Tensor,
        noise: torch.Tensor | None = None,
        *,
        name: list[str] | None = None,
        variant: str | None = None,
        record: Record | None = None,
    ) -> torch.Tensor:
        """Return the clear image; ``noise`` is not used. Shapes: (B, in_bands, H, W) -> (B, bands, H, W)."""
        clear = (self.reference(cloudy, name) if self.needs_names else self.reference(cloudy)).float()
        if self.leave_flat is None:
            return clear
        image, (least, enough) = cloudy[:, : self.bands].float(), self.leave_flat
        seen = torch.maximum(texture(image), texture(clear))  # a dense veil hides texture that the estimate has
        weight = ((seen - least) / (enough - least)).clamp(0, 1)
        return torch.lerp(image, clear, weight)

    def losses(
        self, cloudy: torch.Tensor, clear: torch.Tensor, name: list[str], valid: torch.Tensor | None = None
    ) -> dict[str, torch.Tensor]:
        """Return each loss, summed over the restorations."""
        return self._losses_of(self.training_outputs(cloudy, clear), cloudy, clear, valid)

    def training_outputs(self, cloudy: torch.Tensor, clear: torch.Tensor) -> dict[str, Any]:
        """Return the reference's outputs that losses apply to."""
        own = getattr(self.reference, "training_outputs", None)
        return dict(restorations=[self.reference(cloudy)]) if own is None else own(cloudy, clear)

    def _losses_of(
        self, outputs: dict[str, Any], cloudy: torch.Tensor, clear: torch.Tensor, valid: torch.Tensor | None = None
    ) -> dict[str, torch.Tensor]:
        losses = {}
        for index, (term, weight, of) in enumerate(zip(self.loss_terms, self.loss_weights, self.loss_of, strict=True)):
            if of not in outputs:
                raise UserError(
                    f"{type(self.reference).__name__} has no output {of!r} for the loss {type(term).__name__}: it has "
                    f"{', '.join(outputs)}"
                )
            if of == "restorations":
                more = (cloudy[:, : clear.shape[1]],) if getattr(term, "takes_cloudy", False) else ()
                value = sum(term(only_valid(output.float(), clear, valid), clear, *more) for output in outputs[of])
            else:
                value = term(outputs[of], attention_target(cloudy, clear) if of == "attention" else None)
            losses[f"loss_{index}_{type(term).__name__.lower()}"] = weight * value
        return losses


def texture(image: torch.Tensor) -> torch.Tensor:
    """Return how much images vary from place to place: the standard deviation in small squares, averaged over these.

    Shapes: (B, C, H, W), any H and W -> (B, 1, 1, 1).
    Units: those of the image; the bands are averaged first.
    """
    grey = image.mean(1, keepdim=True)
    step, rim = NEIGHBOURHOOD // 3, NEIGHBOURHOOD // 2
    mean, of_squares = (
        functional.avg_pool2d(values, NEIGHBOURHOOD, step, rim, count_include_pad=False)
        for values in (grey, grey.square())
    )
    return (of_squares - mean.square()).clamp(min=0).sqrt().mean((2, 3), keepdim=True)


# Entries that every model takes, most of them copied from the data.
RECORD = ("bands", "in_bands", "value_range", "band_names", "inputs", "any_units")


def training_of_reference(config: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """Return the config of a model that trains only the reference of ``config``.

    Args:
        config: config of a model with a ``reference``.
        options: the stage's losses, discriminator and adversarial loss, if any.

    Raises:
        UserError: a loss does not apply to the output it names, or an option lacks another that it needs.
    """
    _check_options(options)
    record = {key: config[key] for key in RECORD if key in config}
    losses = dict(losses=options.get("losses", (dict(type="L1"),)))
    against = {key: value for key, value in options.items() if key != "losses" and value}
    kind = "Adversarial" if options.get("discriminator") else "OnePass"
    return dict(type=kind, reference=config["reference"], **losses, **against, **record)


def _check_options(options: dict[str, Any]) -> None:
    losses, adversarial = options.get("losses", (dict(type="L1"),)), options.get("adversarial_loss")
    if not isinstance(losses, list | tuple) or not losses:
        raise UserError("losses must be a non-empty list, such as [dict(type='L1')]")
    for loss in [*losses, *([adversarial] if adversarial is not None else [])]:
        if not isinstance(loss, dict) or not isinstance(loss.get("weight", 1), int | float):
            raise UserError(f"a loss must be dict(type=..., weight=NUMBER, ...), got {loss!r}")
    if (options.get("discriminator") is None) != (adversarial is None):
        raise UserError("discriminator and adversarial_loss must be set together")
    penalty = options.get("gradient_penalty") or 0
    if not isinstance(penalty, int | float) or penalty < 0:
        raise UserError(f"gradient_penalty must be 0 or more, got {penalty!r}")
    if penalty and options.get("discriminator") is None:
        raise UserError("gradient_penalty needs a discriminator")
    for loss in losses:
        takes, of = getattr(build_loss(loss), "takes", "images"), loss.get("of", "restorations")
        if takes == "logits" or (takes == "latent") != (of == "latent"):
            raise UserError(f"{loss['type']} is a loss of {takes} and cannot be applied to {of}")
    if adversarial is not None and getattr(build_loss(adversarial), "takes", "images") != "logits":
        raise UserError(f"adversarial_loss {adversarial['type']} is not a loss of logits: try SoftplusGAN")


def build_loss(config: dict[str, Any]) -> nn.Module:
    """Build a stage's loss from its config, ignoring ``weight`` and ``of``."""
    return LOSSES.build({key: value for key, value in config.items() if key not in ("weight", "of")})


def attention_target(cloudy: torch.Tensor, clear: torch.Tensor) -> torch.Tensor:
    """Return clear minus cloudy in 8-bit units, summed over bands and clamped to [0, 1].

    This is the attention target of SpA-GAN (Pan 2020, arXiv 2009.13015) and AMGAN-CR. As in the authors' code the
    difference is signed, so the target is not a cloud map: it is 0 where a cloud brightens, and 1 where its shadow
    darkens.

    Shapes: (B, in_bands, H, W), (B, bands, H, W) -> (B, 1, H, W).
    """
    difference = (clear - cloudy[:, : clear.shape[1]]) * 127.5
    return difference.sum(1, keepdim=True).clamp(0, 1)
