"""The contract of models, on which training, evaluation, scenes and reports rely."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.optim import OptimWrapper, OptimWrapperDict

from declouds.errors import UserError
from declouds.models import build_model, model_class
from declouds.models.cloud_remover import CloudRemover
from declouds.registry import describe
from declouds.scenes.sampling.passes import Input, Noise, Pass, clear_name
from declouds.testing.networks import NAMES
from declouds.testing.parts import random_images, random_noise, require
from declouds.weights.file import load_strictly

SIZES = ((13, 18), (16, 16))


def check_model(config: dict, options: Mapping[str, dict[str, Any]] | None = None) -> None:
    """Check that a model declares its parts, trains part by part, and clears images whole and by passes.

    Args:
        config: config of the model, without ``bands`` and ``in_bands``.
        options: part -> the model-specific entries (``stage_entries``) of the stage that trains it.
    """
    kind = model_class(config)
    _check_declarations(kind)
    for bands, in_bands in ((3, 3), (2, 4)):
        whole = {**config, "bands": bands, "in_bands": in_bands}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = build_model(whole).eval()
            for size in SIZES:
                _check_prediction(model, size)
            _check_passes(model)
            _check_round_trip(model, whole)
    _check_training(kind, {**config, "bands": 2, "in_bands": 4}, options or {})


def _check_declarations(kind: type[CloudRemover]) -> None:
    require(issubclass(kind, CloudRemover), "a model must derive from CloudRemover")
    require(
        describe(kind).endswith("."),
        f"the docstring of {kind.__name__} must start with one line that ends with a full stop",
    )
    require(bool(kind.parts) and len(set(kind.parts)) == len(kind.parts), "`parts` must name each part once")
    named = set(kind.needs).union(*kind.needs.values())
    require(named <= set(kind.parts), "`needs` must only name parts of the model")
    entries = {
        name for base in kind.__mro__ if issubclass(base, CloudRemover) for name in inspect.signature(base).parameters
    }
    require(kind.sampling_entries <= entries, "`sampling_entries` must be entries of the model's config")
    require(not kind.sampling_entries & set(kind.parts), "a part, which has weights, cannot be a sampling entry")
    require(set(kind.recorded.values()) <= {"image", "map"}, "`recorded` must map each name to 'image' or 'map'")


def _check_prediction(model: CloudRemover, size: tuple[int, int]) -> None:
    cloudy, noise = random_images(1, 2, model.in_bands, size), random_noise(2, 2, model.bands, size)
    steps: list[dict[str, torch.Tensor]] = []
    clear = model.predict(cloudy, noise, name=NAMES[:2], record=steps.append)
    require(clear.shape == noise.shape and clear.dtype == torch.float32, "predict must return float32 (B, bands, H, W)")
    require(
        bool((clear.abs() <= 1 + 1e-6).all()) and not clear.requires_grad,
        "predict must return [-1, 1] without gradient",
    )
    first = model.predict(cloudy[:1], noise[:1], name=NAMES[:1])
    require(torch.allclose(first, clear[:1], atol=1e-4), "predict must treat the images of a batch independently")
    if not model.draws_noise:
        other = model.predict(cloudy, noise.flip(0), name=NAMES[:2])
        require(torch.equal(other, clear), "a model without `draws_noise` must ignore the start noise")
    require(bool(steps) or not model.recorded, "predict must call `record` at every step if anything is `recorded`")
    for step in steps:
        require("t" in step and bool(set(model.recorded) & set(step)), "`record` must get t and the `recorded` tensors")
        for name in set(model.recorded) & set(step):
            value = step[name]
            require(value.ndim == 4 and len(value) == 2, f"recorded {name} must be (B, C, h, w)")
            if model.recorded[name] == "map":
                require(bool(((value >= 0) & (value <= 1)).all()), f"recorded map {name} must be in [0, 1]")
    require(set(model.variants) <= set(model.variant_names), "`variants` must be a subset of `variant_names`")
    require(
        not {"cloudy", model.method} & set(model.variants),
        "no variant may be named 'cloudy' or like the model's own result",
    )
    require(model.baseline is None or model.baseline in model.variants, "`baseline` must be one of `variants`")
    for variant in model.variants:
        result = model.predict(cloudy, noise, name=NAMES[:2], variant=variant)
        require(
            result.shape == noise.shape and result.dtype == torch.float32,
            f"variant {variant} must be float32 (B, bands, H, W)",
        )


def _check_passes(model: CloudRemover) -> None:
    cloudy, noise = random_images(1, 1, model.in_bands, SIZES[0]), random_noise(2, 1, model.bands, SIZES[0])
    if model.needs_names:
        return
    for variant in (None, *model.variants):
        whole = model.predict(cloudy, noise, variant=variant)
        for blend in ("joint", "final"):
            passes = model.passes(variant=variant, blend=blend)
            result = _run_passes(passes, cloudy, noise)
            require(result.shape == whole.shape, "the last pass must return the bands of the image")
            sources = [source for item in passes for source in (*item.inputs, *item.step_inputs)]
            noises = [source for source in sources if isinstance(source, Noise)]
            if all(source.stream == 0 for source in noises):  # step noise differs in windows
                agrees = torch.allclose(result, whole, atol=1e-4)
                require(
                    agrees, f"passes (blend={blend!r}, variant={variant!r}) must agree with predict on a single window"
                )
    if model.quality_band is not None:
        last = model.passes(quality=True)[-1]
        require(last.output_bands == model.bands + 1, "the last pass with quality=True must have one more band")
    if model.draws_noise:
        results = {item.output for item in model.passes(samples=2)}
        require({clear_name(0), clear_name(1)} <= results, "passes(samples=2) must write two results")


@torch.no_grad()
def _run_passes(passes: Sequence[Pass], cloudy: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """Run the passes on one window and return the result."""
    rasters = {"cloudy": cloudy}

    def read(source: Input) -> torch.Tensor:
        if isinstance(source, Noise):
            return noise if source.stream == 0 else random_noise(source.stream % 1000, 1, noise.shape[1], SIZES[0])
        require(source in rasters, f"a pass reads {source!r}, which no previous pass writes")
        return rasters[source]

    for item in passes:
        output = item.compute(cloudy, *map(read, item.inputs)).float()
        require(output.shape[1] == item.channels, f"pass {item.title!r} must compute {item.channels} bands")
        if item.step is not None:
            output = item.step(output[0], *(read(source)[0] for source in item.step_inputs))[None]
        require(output.shape[1] == item.output_bands, f"pass {item.title!r} must write {item.output_bands} bands")
        rasters[item.output] = output
    return rasters[clear_name(0)]


def _check_round_trip(model: CloudRemover, config: dict) -> None:
    torch.manual_seed(1)
    loaded = build_model(config).eval()
    load_strictly(loaded, model.state_dict(), "the state dict")
    cloudy, noise = random_images(3, 1, model.in_bands, SIZES[0]), random_noise(4, 1, model.bands, SIZES[0])
    before, after = (net.predict(cloudy, noise, name=NAMES[:1]) for net in (model, loaded))
    require(torch.equal(before, after), "the state dict must hold everything that predict depends on")


def _check_training(kind: type[CloudRemover], config: dict, options: Mapping[str, dict[str, Any]]) -> None:
    """Check that each part with weights can be trained, alone or with the others."""
    whole = build_model(config)
    learned = [part for part in whole.existing_parts() if list(getattr(whole, part).parameters())]
    untrainable = [part for part in learned if not _trains(kind, config, [part], options.get(part, {}))]
    if untrainable:
        merged = {key: value for part in learned for key, value in options.get(part, {}).items()}
        require(
            _trains(kind, config, learned, merged), f"training_config must allow training of {', '.join(untrainable)}"
        )


def _trains(kind: type[CloudRemover], config: dict, train: list[str], options: dict[str, Any]) -> bool:
    """Check one stage; return False if the model rejects training these parts."""
    try:
        stage = kind.training_config(config, train, options)
    except UserError:
        return False
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_model(stage)
        require(set(train) <= set(model.existing_parts()), f"the model that trains {train} must have these parts")
        helpers = [part for part in model.existing_parts() if part not in kind.parts]
        model.train_only([*train, *helpers])
        model.train()
        data: dict[str, Any] = dict(
            cloudy=random_images(1, 2, 4, (16, 16)), clear=random_images(2, 2, 2, (16, 16)), name=list(NAMES[:2])
        )
        model.check_training(data["cloudy"], data["clear"], data["name"])
        before = {key: value.clone() for key, value in model.state_dict().items()}
        if model.separate_optimizers:
            _take_step(model, data)
        else:
            _check_losses(model, data)
        changed = {
            key.split(".")[0] for key, value in model.state_dict().items() if not torch.equal(value, before[key])
        }
        require(changed <= set(model.trained), f"training {train} must not change other weights")
    return True


def _check_losses(model: CloudRemover, data: dict[str, Any]) -> None:
    torch.manual_seed(0)
    losses = model.losses(**data)
    require(bool(losses) and all(name.startswith("loss") for name in losses), "names of losses must start with 'loss'")
    require(
        all(value.ndim == 0 and bool(value.isfinite()) for value in losses.values()), "losses must be finite scalars"
    )
    torch.manual_seed(0)
    valid = torch.ones(2, 1, 16, 16, dtype=torch.bool)
    again = model.losses(**data, valid=valid)
    require(
        all(torch.allclose(again[key], losses[key]) for key in losses),
        "a mask with all pixels valid must not change the losses",
    )
    torch.stack(list(losses.values())).sum().backward()
    for name, parameter in model.named_parameters():
        if name.split(".")[0] not in model.trained:
            require(parameter.grad is None, f"{name} is frozen and must get no gradient")
        elif parameter.grad is None:
            require(model.unused_parameters, f"{name} gets no gradient: use it, or set `unused_parameters`")
        else:
            require(bool(parameter.grad.isfinite().all()), f"the gradient of {name} must be finite")
    for part in model.trained:
        gradients = [parameter.grad for parameter in getattr(model, part).parameters()]
        trains = any(gradient is not None and bool(gradient.any()) for gradient in gradients)
        require(trains, f"the losses must train {part}")


def _take_step(model: CloudRemover, data: dict[str, Any]) -> None:
    sgd = {part: torch.optim.SGD(getattr(model, part).parameters(), lr=1e-3) for part in model.trained}
    wrappers = OptimWrapperDict(**{part: OptimWrapper(optimizer) for part, optimizer in sgd.items()})
    losses = model.train_step(data, wrappers)
    require(all(bool(value.isfinite().all()) for value in losses.values()), "losses must be finite")
