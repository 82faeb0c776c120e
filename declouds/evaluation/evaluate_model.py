"""A model over a data set: each image predicted from its own start noise, and measured."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import torch
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

from declouds.errors import UserError
from declouds.evaluation.lpips_net import Lpips
from declouds.evaluation.protocols import measure
from declouds.evaluation.signatures import describe_image, measure_signatures
from declouds.evaluation.statistics import Row
from declouds.scenes.sampling.noise import noise_for

VARIANTS = ("cloudy", "prior", "diffusion")  # what is measured beside the model itself, if wanted

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
    tile: int | None = None,
    overlap: int | None = None,
    on_image: Callable[[dict[str, Any], Images], None] | None = None,
    seconds: dict[str, float] | None = None,
) -> dict[str, list[Row]]:
    """Predict and measure every image of ``dataset``.

    The start noise of an image is drawn from ``seed`` and its name, so a figure depends on neither order nor batch.

    Args:
        model: offers ``predict(cloudy, noise)`` and ``bands``.
        dataset: samples ``cloudy``, ``clear``, ``name`` and perhaps ``mask``.
        protocols: as `measure`.
        lpips: the network, or None to go without.
        seed: of the start noise.
        batch_size: images of one size that are predicted together.
        variants: measure the cloudy image, the prior and the diffusion without fusion as well; or some of `VARIANTS`.
        tile: predict in overlapping windows of this size instead of whole images.
        overlap: of the windows; a quarter of ``tile`` if not given.
        on_image: called with each sample and its images by method.
        seconds: is filled with method -> seconds that all its predictions took; no row holds what no one can repeat.

    Returns:
        method -> one row an image, in the order of the data set: the protocols' figures, the failure signatures
        (``signature.blur`` ...) and what the image is like (``image.cover`` ...). The model itself is the method ``DE``
        if it fuses, else ``result``; with ``variants`` there are ``cloudy`` (if it has the clear image's bands),
        ``prior`` and ``diffusion`` before it.

    Raises:
        UserError: ``variants`` of a model without fusion.
    """
    chosen = (VARIANTS if variants else ()) if isinstance(variants, bool) else tuple(variants)
    if chosen and getattr(model, "fusion", None) is None:
        raise UserError(
            "this model does not fuse a prior with a diffusion, so it has no variants: leave --variants out"
        )
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    rows: dict[str, list[Row]] = {}
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad(), _progress(len(dataset)) as advance:
            for batch in _batches(dataset, batch_size):
                cloudy = torch.stack([sample["cloudy"] for sample in batch]).to(device)
                names = [sample["name"] for sample in batch]
                outputs, taken = _predict(model, cloudy, names, seed, chosen, tile, overlap)
                if seconds is not None:
                    seconds.update({method: seconds.get(method, 0.0) + more for method, more in taken.items()})
                for position, sample in enumerate(batch):
                    images = {method: output[position] for method, output in outputs.items()}
                    clear, mask = sample["clear"].to(device), sample.get("mask")
                    mask = None if mask is None else mask.to(device)
                    facts = describe_image(clear, cloudy[position], mask)
                    for method, image in images.items():
                        row = {"name": sample["name"], **measure(image, clear, protocols, lpips, mask)}
                        row |= measure_signatures(image, clear, cloudy[position], mask) | facts
                        rows.setdefault(method, []).append(row)
                    if on_image is not None:
                        on_image(sample, images)
                    advance()
    finally:
        model.train(was_training)
    return rows


def _predict(
    model: Any,
    cloudy: torch.Tensor,
    names: list[str],
    seed: int,
    variants: Collection[str],
    tile: int | None,
    overlap: int | None,
) -> tuple[Images, dict[str, float]]:
    """Return method -> images, and method -> seconds that they took. Shapes: cloudy (B, C, H, W)."""
    shape = (model.bands, *cloudy.shape[-2:])
    noise = torch.stack([torch.as_tensor(noise_for(name, seed, shape)) for name in names]).to(cloudy)
    named = {"name": names} if getattr(getattr(model, "reference", None), "needs_names", False) else {}
    outputs, seconds = {}, {}

    def take(method: str, predict: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> None:
        started = perf_counter()
        if tile is None:
            images = predict(cloudy, noise)
        else:
            from declouds.scenes.sampling.tiled import predict_tiled

            images = predict_tiled(predict, cloudy, noise, tile, tile // 4 if overlap is None else overlap)
        outputs[method] = images.float().clamp(-1, 1)
        if images.is_cuda:
            torch.cuda.synchronize(images.device)
        seconds[method] = perf_counter() - started

    if "cloudy" in variants and cloudy.shape[1] == model.bands:
        take("cloudy", lambda image, _: image)
    if "prior" in variants:
        take("prior", lambda image, _: model.prior(image, **named))
    if "diffusion" in variants:
        take("diffusion", lambda image, start: model.predict(image, start, fuse=False))
    method = "DE" if getattr(model, "fusion", None) is not None else "result"
    take(method, lambda image, start: model.predict(image, start, **named))
    return outputs, seconds


def _batches(dataset: Any, batch_size: int) -> Iterator[list[dict[str, Any]]]:
    """Yield neighbouring samples of one size together, at most ``batch_size``."""
    batch: list[dict[str, Any]] = []
    for index in range(len(dataset)):
        sample = dataset[index]
        if batch and (len(batch) == batch_size or sample["cloudy"].shape != batch[0]["cloudy"].shape):
            yield batch
            batch = []
        batch.append(sample)
    if batch:
        yield batch


@contextmanager
def _progress(total: int) -> Iterator[Callable[[], None]]:
    """Show a bar with the time left, on stderr; what is yielded moves it by one image."""
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("images", total=total)
        yield lambda: progress.advance(task)
