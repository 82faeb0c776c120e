"""The contracts of parts as checks, for the tests of this package and of every plugin.

A part is checked by its config alone::

    from declouds.testing import check_denoiser

    def test_my_denoiser() -> None:
        check_denoiser(dict(type="MyDenoiser", base=8))

Give networks arguments that make them small: each is built and run a dozen times. Every check raises ``AssertionError``
with a sentence that says what is wrong.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from declouds.noise_schedules.linear import LinearSchedule
from declouds.noise_schedules.variance_preserving import VariancePreserving
from declouds.registry import (
    DATAMODULES,
    DENOISERS,
    FUSIONS,
    LOSSES,
    NOISE_SCHEDULES,
    REFERENCES,
    SAMPLERS,
    PartRegistry,
)

BANDS = (1, 3, 4)
SIZES = ((16, 16), (13, 18))
NAMES = ["first", "second"]  # the samples of every batch, for references that look their prior up

Call = Callable[[nn.Module, torch.Tensor, torch.Tensor, torch.Tensor], list[torch.Tensor]]


def check_denoiser(config: dict, bands: Sequence[int] = BANDS, sizes: Sequence[tuple[int, int]] = SIZES) -> None:
    """Check ``(x_t, t, cloudy) -> prediction`` and the attribute ``predicts``."""
    denoiser = DENOISERS.build(config)
    _require(denoiser.predicts in ("noise", "clear", "velocity"), f"predicts={denoiser.predicts!r} names no prediction")
    _check_network(DENOISERS, config, bands, sizes, lambda net, image, t, cloudy: [net(image, t, cloudy)])


def check_reference(config: dict, bands: Sequence[int] = BANDS, sizes: Sequence[tuple[int, int]] = SIZES) -> None:
    """Check ``cloudy -> prior`` in [-1, 1], and ``training_outputs(cloudy, clear)`` if the reference has that."""

    def call(net: nn.Module, image: torch.Tensor, t: torch.Tensor, cloudy: torch.Tensor) -> list[torch.Tensor]:
        prior = net(cloudy, NAMES[: len(cloudy)]) if getattr(net, "needs_names", False) else net(cloudy)
        _require(bool((prior.abs() <= 1).all()), "the prior leaves [-1, 1]")
        outputs: Callable | None = getattr(net, "training_outputs", None)
        return [prior] if outputs is None else [prior, *outputs(cloudy, prior.detach())["restorations"]]

    _check_network(REFERENCES, config, bands, sizes, call)


def check_fusion(config: dict, bands: Sequence[int] = BANDS, sizes: Sequence[tuple[int, int]] = SIZES) -> None:
    """Check ``(clear_hat, prior, x_t, t, cloudy) -> weight``."""

    def call(net: nn.Module, image: torch.Tensor, t: torch.Tensor, cloudy: torch.Tensor) -> list[torch.Tensor]:
        return [net(image.clamp(-1, 1), image.flip(-1).clamp(-1, 1), image, t, cloudy)]

    _check_network(FUSIONS, config, bands, sizes, call)


def check_noise_schedule(config: dict) -> None:
    """Check that the noise only grows, and that every kind of prediction leads back to the clear image."""
    check_description(NOISE_SCHEDULES, config)
    schedule = NOISE_SCHEDULES.build(config)
    alpha, sigma = schedule.alpha_sigma(torch.arange(schedule.num_steps))
    _require(alpha.shape == sigma.shape == (schedule.num_steps, 1, 1, 1), "alpha_sigma(t) gives two of (B, 1, 1, 1)")
    _require(bool((alpha > 0).all() and (sigma > 0).all()), "alpha and sigma are greater than 0")
    _require(bool(((alpha / sigma).diff(dim=0) < 0).all()), "x_t gets noisier with every step")
    if isinstance(schedule, VariancePreserving):
        _require(bool(((alpha**2 + sigma**2 - 1).abs() < 1e-6).all()), "alpha^2 + sigma^2 = 1")
    t = torch.tensor([0, schedule.num_steps // 2, schedule.num_steps - 1])
    clear, noise = _images(1, 3, 3, (13, 18)), _noise(2, 3, 3, (13, 18))
    cloudy = _images(3, 3, 3, (13, 18))
    alpha, sigma = schedule.alpha_sigma(t)
    x_t = schedule.add_noise(clear, noise, t, cloudy)
    rounding = 1e-5 + 2e-6 / alpha  # what float32 leaves of the clear image in x_t
    predictions = dict(noise=noise, clear=clear, velocity=alpha * noise - sigma * clear)
    for predicts, prediction in predictions.items():
        error = (schedule.clear_from(prediction, x_t, t, predicts, cloudy) - clear).abs()
        _require(bool((error <= rounding).all()), f"clear_from({predicts!r}) gives the clear image back")
    _require(schedule.clear_from(noise, x_t, t, "noise", cloudy).dtype == torch.float32, "clear_from keeps float32")


def check_sampler(config: dict) -> None:
    """Check that a perfect denoiser gives the clear image, by way of x_t that carry the noise of their times."""
    check_description(SAMPLERS, config)
    schedule, sampler = LinearSchedule(), SAMPLERS.build(config)
    start = _noise(2, 2, 3, (37, 50))
    times: list[int] = []

    def flat(x_t: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        _require(t.shape == (2,) and not t.is_floating_point(), "denoise is given one whole number t per image")
        times.append(int(t[0]))
        clear = torch.tensor([-0.6, 0.1, 0.8])[:, None, None].expand_as(x_t)  # the same image at every size
        alpha, sigma = schedule.alpha_sigma(t)
        noise = (x_t - alpha * clear) / sigma
        _require(
            0.8 < float(noise.std()) < 1.2, f"x_t at t={times[-1]} has {noise.std():.2f} of the noise it should have"
        )
        return clear

    sampler(flat, start, schedule)
    _require(times == sorted(set(times), reverse=True), f"times fall from step to step; they are {times[:20]}")
    clear = _images(1, 2, 3, (37, 50))
    result = sampler(lambda x_t, t: nn.functional.interpolate(clear, size=x_t.shape[-2:]), start, schedule)
    _require(torch.allclose(result, clear, atol=1e-4), "a perfect denoiser makes it return the clear image")

    def rough(x_t: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return (0.5 * x_t).clamp(-1, 1)

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        once = sampler(rough, start, schedule)
        torch.manual_seed(1)
        _require(torch.equal(sampler(rough, start, schedule), once), "the same start noise gives the same result")
    _require(
        not torch.equal(sampler(rough, start.flip(0), schedule), once), "the start noise is what a result starts from"
    )
    _require(once.shape == start.shape and once.dtype == torch.float32, "the result has the shape and type of x_start")


def check_loss(config: dict) -> None:
    """Check ``(output, target) -> scalar`` for what the loss ``takes``: images unless it says otherwise."""
    check_description(LOSSES, config)
    loss = LOSSES.build(config)
    checks = dict(images=_check_distance, logits=_check_judgement, latent=_check_latent)
    takes = getattr(loss, "takes", "images")
    _require(takes in checks, f"takes={takes!r} is none of {', '.join(checks)}")
    _require(not loss.state_dict(), "a loss leaves nothing in checkpoints: register_buffer(..., persistent=False)")
    checks[takes](loss)


def _check_distance(loss: nn.Module) -> None:
    """Check a loss of two images: least where the two are equal, gradients finite there and elsewhere."""
    for size in ((64, 64), (37, 50)):
        target = _images(1, 2, 3, size)
        values = []
        for deviation in (0.0, 0.1, 0.5):
            output = (target + deviation * _noise(2, 2, 3, size)).requires_grad_()
            value = loss(output, target)
            _require(value.shape == (), f"a loss is one number, not of shape {tuple(value.shape)}")
            (gradient,) = torch.autograd.grad(value, output)
            _require(
                bool(value.isfinite() and gradient.isfinite().all()), f"value and gradient are finite at {deviation}"
            )
            _require(deviation == 0 or bool(gradient.abs().sum() > 0), "an output that is off has a gradient")
            values.append(float(value.detach()))
        _require(values == sorted(set(values)), f"a loss grows with the deviation; it is {values} for 0, 0.1, 0.5")


def _check_judgement(loss: nn.Module) -> None:
    """Check a loss of logits: it pulls them up where the target is 1 (real), and down where it is 0 (restored)."""
    for shape in ((2, 1, 5, 4), (3, 1)):
        for level in (0.5, -20.0, 20.0):
            for target, sign in ((1.0, -1), (0.0, 1)):
                logits = torch.full(shape, level, requires_grad=True)
                value = loss(logits, torch.full(shape, target))
                _require(value.shape == (), f"a loss is one number, not of shape {tuple(value.shape)}")
                (gradient,) = torch.autograd.grad(value, logits)
                where = f"at logits of {level} with target {target}"
                _require(bool(value.isfinite() and gradient.isfinite().all()), f"value and gradient are finite {where}")
                right = level != 0.5 or bool((sign * gradient > 0).all())
                _require(right, f"the loss {'falls' if target else 'rises'} with the logits {where}")


def _check_latent(loss: nn.Module) -> None:
    """Check a loss of (mean, log variance) without a target: least at the standard normal, the same for any batch."""
    code = (_noise(1, 2, 8, (1, 1))[..., 0, 0], _noise(2, 2, 8, (1, 1))[..., 0, 0])  # (B, D) each
    values = []
    for deviation in (0.0, 0.1, 0.5):
        mean, log_variance = ((deviation * value).requires_grad_() for value in code)
        value = loss((mean, log_variance), None)
        _require(value.shape == (), f"a loss is one number, not of shape {tuple(value.shape)}")
        gradients = torch.autograd.grad(value, [mean, log_variance])
        finite = bool(value.isfinite()) and all(bool(gradient.isfinite().all()) for gradient in gradients)
        _require(finite, f"value and gradient are finite at {deviation}")
        values.append(float(value.detach()))
    _require(values == sorted(set(values)), f"a loss grows with the distance; it is {values} for 0, 0.1, 0.5")
    twice = loss(tuple(0.5 * torch.cat([value, value]) for value in code), None)
    _require(torch.allclose(twice, torch.tensor(values[-1])), "the loss does not grow with the batch")


def check_datamodule(config: dict) -> None:
    """Check the samples of every part: shapes, types and ranges, names that occur once, and that they batch."""
    check_description(DATAMODULES, config)
    data = DATAMODULES.build(config)
    data.setup("fit")
    _require(len(data.train_dataset) > 0, "there is something to train on after setup('fit')")
    data.setup()
    _require(data.band_names == () or len(data.band_names) == data.bands, "there are as many band names as bands")
    datasets = {part: getattr(data, f"{part}_dataset") for part in ("train", "val", "test")}
    datasets = {part: dataset for part, dataset in datasets.items() if dataset is not None}
    names: list[str] = []
    for part, dataset in datasets.items():
        names.extend(dataset[index]["name"] for index in range(len(dataset)))
        _check_sample(dataset[0], data.bands)
        once, again = dataset[0], dataset[0]
        _require(torch.equal(once["cloudy"], again["cloudy"]), f"a sample of {part} is the same whenever it is read")
        batch = next(iter(DataLoader(dataset, batch_size=1)))
        _require(batch["cloudy"].shape == (1, *once["cloudy"].shape), f"the samples of {part} make batches")
        _require(data.split_record()[part]["count"] == len(dataset), "split_record() counts the pairs")
    _require(len(set(names)) == len(names), "no name occurs twice, within a part or between parts")


def check_description(registry: PartRegistry, config: dict) -> None:
    """Check that the part has the one-line description that `declouds models` shows."""
    part = registry.find(config["type"])
    first = (part.__doc__ or "").strip().partition("\n")[0]
    _require(first.endswith("."), f"the docstring of {part.__name__} begins with one line that ends with a full stop")


def _check_sample(sample: dict[str, Any], bands: int) -> None:
    shape = sample["cloudy"].shape
    _require(
        len(shape) == 3 and sample["clear"].shape == (bands, *shape[1:]), "cloudy and clear are (C, H, W), of one size"
    )
    for key in ("cloudy", "clear"):
        image = sample[key]
        _require(image.dtype == torch.float32 and bool((image.abs() <= 1).all()), f"{key} is float32 in [-1, 1]")
    _require(isinstance(sample["name"], str), "name is text")
    if "mask" in sample:
        mask = sample["mask"]
        _require(mask.shape == (1, *shape[1:]) and mask.dtype == torch.float32, "mask is float32 (1, H, W)")
        _require(bool(((mask == 0) | (mask == 1)).all()), "mask is 0 or 1")


def _check_network(
    registry: PartRegistry, config: dict, bands: Sequence[int], sizes: Sequence[tuple[int, int]], call: Call
) -> None:
    """Check a network of images for every number of bands and every size, and its weights."""
    check_description(registry, config)
    counts = [(count, count) for count in bands]
    if "in_bands" in inspect.signature(registry.find(config["type"])).parameters:
        counts.append((bands[0], bands[0] + 2))
    with torch.random.fork_rng(devices=[]):
        for out_bands, in_bands in counts:
            for size in sizes:
                torch.manual_seed(0)
                net = registry.build(config, bands=out_bands, in_bands=in_bands)
                inputs = (_noise(1, 2, out_bands, size), torch.tensor([7, 900]), _images(2, 2, in_bands, size))
                _check_outputs(net, inputs, call)
        _check_weights(lambda: registry.build(config, bands=out_bands, in_bands=in_bands), inputs, call)


def _check_outputs(net: nn.Module, inputs: tuple[torch.Tensor, torch.Tensor, torch.Tensor], call: Call) -> None:
    """Check shape, type, gradients, autocast, and that the images of a batch do not touch each other."""
    image, t, cloudy = inputs
    where = f"for {cloudy.shape[1]} to {image.shape[1]} bands of {image.shape[2]}x{image.shape[3]}"
    outputs = call(net.train(), *inputs)
    for output in outputs:
        _require(output.shape == image.shape, f"the output {where} is of shape {tuple(output.shape)}")
        _require(output.dtype == torch.float32, f"the output {where} is {output.dtype}, not float32")
        _require(bool(output.isfinite().all()), f"the output {where} is finite")
    _check_gradients(net, outputs, where)
    with torch.autocast("cpu", torch.bfloat16):
        rough = call(net, *inputs)
    _require(all(bool(output.isfinite().all()) for output in rough), f"the output {where} is finite in bfloat16")
    _check_gradients(net, rough, f"{where} in bfloat16")
    net.eval()
    with torch.no_grad():
        together, alone = call(net, *inputs)[0], call(net, image[:1], t[:1], cloudy[:1])[0]
        again = call(net, *inputs)[0]
    _require(torch.equal(together, again), f"in eval mode the output {where} is the same every time")
    _require(
        torch.allclose(together[:1], alone, atol=1e-4), f"an image {where} does not depend on the others of its batch"
    )


def _check_gradients(net: nn.Module, outputs: list[torch.Tensor], where: str) -> None:
    trained = {name: parameter for name, parameter in net.named_parameters() if parameter.requires_grad}
    if not trained:
        return
    net.zero_grad()
    loss = sum((output.float() - 0.5).square().mean() for output in outputs)
    torch.autograd.backward([torch.as_tensor(loss)])
    for name, parameter in trained.items():
        _require(parameter.grad is not None, f"{name} has no gradient {where}: nothing depends on it")
        _require(bool(torch.as_tensor(parameter.grad).isfinite().all()), f"the gradient of {name} is finite {where}")
    moving = [name for name, parameter in trained.items() if bool(torch.as_tensor(parameter.grad).any())]
    _require(bool(moving), f"some gradient {where} is not zero")


def _check_weights(
    build: Callable[[], nn.Module], inputs: tuple[torch.Tensor, torch.Tensor, torch.Tensor], call: Call
) -> None:
    """Check that a state dict carries all there is to a trained network."""
    trained, fresh = build().eval(), build().eval()
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))  # away from the zeros that some layers start with
        before, expected = call(fresh, *inputs)[0], call(trained, *inputs)[0]
        fresh.load_state_dict(trained.state_dict(), strict=True)
        after = call(fresh, *inputs)[0]
    has_weights = any(True for _ in trained.parameters())
    _require(not has_weights or not torch.equal(before, expected), "the output depends on the weights")
    _require(torch.equal(after, expected), "a state dict that is saved and loaded gives the same output")


def _images(seed: int, batch: int, bands: int, size: tuple[int, int]) -> torch.Tensor:
    """Return images with every value in [-0.9, 0.9], so that no clamp hides what a network does."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(batch, bands, *size, generator=generator) * 1.8 - 0.9


def _noise(seed: int, batch: int, bands: int, size: tuple[int, int]) -> torch.Tensor:
    return torch.randn(batch, bands, *size, generator=torch.Generator().manual_seed(seed))


def _require(fulfilled: bool, sentence: str) -> None:
    if not fulfilled:
        raise AssertionError(f"contract broken: {sentence}")
