"""Evaluate a model on a data set."""

import functools
from collections.abc import Callable, Collection, Iterator, Sequence
from time import perf_counter
from typing import Any

import torch

from declouds.errors import UserError
from declouds.evaluation.lpips_net import Lpips
from declouds.evaluation.protocols import measure
from declouds.evaluation.samples import SampleScores
from declouds.evaluation.signatures import describe_image, measure_signatures
from declouds.evaluation.statistics import Row
from declouds.progress import progress_bar
from declouds.scenes.sampling.noise import noise_for, noise_seed
from declouds.scenes.sampling.passes import noise_of
from declouds.scenes.sampling.tiled import clear_samples
from declouds.scenes.sampling.tiles import Tiling

Images = dict[str, torch.Tensor]  # method -> (C, H, W)


def evaluate_model(
    model: Any,
    dataset: Any,
    *,
    protocols: Sequence[str] = ("official", "standard"),
    lpips: Lpips | None = None,
    seed: int = 0,
    batch_size: int = 1,
    variants: bool | Collection[str] = False,
    tiling: Tiling | None = None,
    on_image: Callable[[dict[str, Any], Images], None] | None = None,
    seconds: dict[str, float] | None = None,
    scores: SampleScores | None = None,
) -> dict[str, list[Row]]:
    """Predict and measure every image of ``dataset``.

    The start noise of an image depends only on ``seed`` and its name, so scores depend on neither order nor batch size.

    Args:
        model: a `CloudRemover`.
        dataset: samples ``cloudy``, ``clear``, ``name`` and optionally ``mask`` and ``valid``.
        protocols: see `measure`.
        lpips: the LPIPS network, or None to skip LPIPS.
        seed: seed of the start noise.
        batch_size: images of equal size to predict together, unless tiled.
        variants: True to measure the cloudy image and all variants of the model too; or some of `variants_of`.
        tiling: overlapping windows, as for scenes; None predicts whole images.
        on_image: called with each sample and its images by method.
        seconds: filled with method -> total prediction time in seconds, of one sample an image.
        scores: takes as many samples of every image by the model as it says; the first of them is the result.

    Returns:
        method -> one row per image, in the order of the data set: the protocols' metrics, the failure signatures
        (``signature.blur`` ...) and facts about the image (``image.cover`` ...). The model itself comes last, under its
        ``method``; ``cloudy`` is omitted if it has fewer bands than the clear image.

    Raises:
        UserError: unknown variant, or several samples of a model that draws no noise.
    """
    chosen = _chosen(model, variants)
    if scores is not None and not model.draws_noise:
        raise UserError("this model draws no noise, so all samples would be equal: omit --samples")
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    rows: dict[str, list[Row]] = {}
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad(), progress_bar("images", len(dataset)) as move:
            for batch in _batches(dataset, batch_size):
                cloudy = torch.stack([sample["cloudy"] for sample in batch]).to(device)
                names = [sample["name"] for sample in batch]
                count = 1 if scores is None else scores.samples
                outputs, drawn, taken = _predict(model, cloudy, names, seed, chosen, tiling, count)
                if seconds is not None:
                    seconds.update({method: seconds.get(method, 0.0) + more for method, more in taken.items()})
                for position, sample in enumerate(batch):
                    images = {method: output[position] for method, output in outputs.items()}
                    clear = sample["clear"].to(device)
                    where = [
                        value if value is None else value.to(device) for value in map(sample.get, ("mask", "valid"))
                    ]
                    image_alone = cloudy[position, : len(clear)]  # without further sources
                    facts = describe_image(clear, image_alone, *where)
                    for method, image in images.items():
                        row = {"name": sample["name"], **measure(image, clear, protocols, lpips, *where)}
                        row |= measure_signatures(image, clear, image_alone, *where) | facts
                        if scores is not None and method == model.method:
                            row |= scores.measure(drawn[:, position], clear, image_alone, where[1])
                        rows.setdefault(method, []).append(row)
                    if on_image is not None:
                        on_image(sample, images)
                    move(advance=1)
    finally:
        model.train(was_training)
    return rows


def variants_of(model: Any) -> tuple[str, ...]:
    """Return what can be measured besides the model: the cloudy image and the model's variants."""
    return ("cloudy", *model.variants)


def _chosen(model: Any, variants: bool | Collection[str]) -> tuple[str, ...]:
    known = variants_of(model)
    named = () if isinstance(variants, bool) else variants
    if not model.variants and (variants is True or set(named) - {"cloudy"}):
        raise UserError("this model has no variants: remove --variants and --variant")
    if isinstance(variants, bool):
        return known if variants else ()
    unknown = [name for name in variants if name not in known]
    if unknown:
        raise UserError(f"unknown variant {unknown[0]!r} of this model: known: {', '.join(known)}")
    return tuple(variants)


def _predict(
    model: Any,
    cloudy: torch.Tensor,
    names: list[str],
    seed: int,
    variants: Collection[str],
    tiling: Tiling | None,
    samples: int,
) -> tuple[Images, torch.Tensor, dict[str, float]]:
    """Return method -> images, the samples of the model itself, and method -> prediction time of one sample in seconds.

    Shapes: cloudy (B, C, H, W), samples (N, B, C, H, W).
    """
    shape = (model.bands, *cloudy.shape[-2:])
    outputs, seconds = {}, {}

    @functools.cache  # shared by all variants; windows draw their own part of the same noise field
    def noise(sample: int) -> torch.Tensor:
        stream = noise_of(sample).stream
        return torch.stack([torch.as_tensor(noise_for(name, seed, shape, stream)) for name in names]).to(cloudy)

    def take(method: str, variant: str | None, samples: int = 1) -> torch.Tensor:
        started = perf_counter()
        if tiling is None:
            images = torch.stack(
                [model.predict(cloudy, noise(sample), name=names, variant=variant) for sample in range(samples)]
            )
        else:
            images = torch.stack(
                [
                    clear_samples(model, image, noise_seed(name, seed), samples, tiling, variant, name)
                    for image, name in zip(cloudy, names, strict=True)
                ],
                dim=1,
            )
        images = images.float().clamp(-1, 1)
        outputs[method] = images[0]
        if images.is_cuda:
            torch.cuda.synchronize(images.device)
        seconds[method] = (perf_counter() - started) / samples
        return images

    if "cloudy" in variants and cloudy.shape[1] >= model.bands:
        outputs["cloudy"], seconds["cloudy"] = cloudy[:, : model.bands].float().clamp(-1, 1), 0.0
    for variant in model.variants:
        if variant in variants:
            take(variant, variant)
    drawn = take(model.method, None, samples)
    return outputs, drawn, seconds


def _batches(dataset: Any, batch_size: int) -> Iterator[list[dict[str, Any]]]:
    """Yield batches of consecutive samples of equal size, at most ``batch_size``."""
    batch: list[dict[str, Any]] = []
    for index in range(len(dataset)):
        sample = dataset[index]
        if batch and (len(batch) == batch_size or sample["cloudy"].shape != batch[0]["cloudy"].shape):
            yield batch
            batch = []
        batch.append(sample)
    if batch:
        yield batch
