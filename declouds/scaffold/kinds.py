"""The kinds of part that a plugin can be started with, and what differs between them beside class and test."""

from collections.abc import Mapping
from dataclasses import dataclass, field

# A small Diffusion Enhancement on simulated clouds, one part of which is the plugin's.
DIFFUSION = dict(
    datamodule='dict(type="Simulated", size=64, cloud="thin", train=64, val=4, test=8)',
    denoiser='dict(type="ConditionalUNet", predicts="clear", **_small)',
    reference='dict(type="GainOffsetUNet", **_small)',
    fusion='dict(type="WeightAllocation", **_small)',
    noise_schedule='dict(type="LinearSchedule")',
    sampler='dict(type="DDIM", steps=5)',
    diffusion_loss='dict(type="UniformLoss")',
)


@dataclass(frozen=True)
class Kind:
    """What the files of one kind are filled with.

    Args:
        call: how its parts are called.
        use: template of the file that shows the part at work; a config takes the name of the package.
        slots: text for the slots of that template.
    """

    call: str
    use: str = "configs/diffusion.py"
    slots: Mapping[str, str] = field(default_factory=dict)


def in_words(kind: str) -> str:
    """Return a kind as it is written in a sentence."""
    return {"datamodule": "data module"}.get(kind, kind.replace("_", " "))


def _in_diffusion(call: str, key: str, arguments: str = "") -> Kind:
    """Return a kind whose part takes the place of ``key`` in `DIFFUSION`."""
    return Kind(call, slots=DIFFUSION | {key: f'dict(type="$Class"{arguments})'})


KINDS = {
    "model": Kind("a method with parts of its own: `losses`, `predict` and `passes`", "configs/model.py"),
    "denoiser": _in_diffusion(
        "`(x_t, t, cloudy) -> prediction`, of what its attribute `predicts` says", "denoiser", ", width=16"
    ),
    "reference": _in_diffusion("`(cloudy) -> prior`, clamped to [-1, 1]", "reference", ", width=16"),
    "fusion": _in_diffusion("`(clear_hat, prior, x_t, t, cloudy) -> weight` of the prior", "fusion"),
    "noise_schedule": _in_diffusion(
        "a process: `num_steps`, `alpha_sigma(t)`, and `bind(cloudy, prior)` if it needs a condition", "noise_schedule"
    ),
    "sampler": _in_diffusion("`(denoise, process, noise) -> clear`", "sampler", ", steps=5"),
    "diffusion_loss": _in_diffusion(
        "`draw_times(count, process, device)`, and `weight(t, process, predicts)` of the error",
        "diffusion_loss",
    ),
    "loss": Kind(
        "`(output, target) -> scalar`",
        "configs/one_pass.py",
        dict(training='losses=[dict(type="L1"), dict(type="$Class", weight=0.5)],'),
    ),
    "discriminator": Kind(
        "`(cloudy, image) -> logits`, large for real",
        "configs/one_pass.py",
        dict(
            training="""losses=[dict(type="L1")],
        discriminator=dict(type="$Class", width=16),
        adversarial_loss=dict(type="SoftplusGAN", weight=0.01),"""
        ),
    ),
    "datamodule": _in_diffusion("`setup(stage)`, and then samples with `cloudy`, `clear` and `name`", "datamodule"),
    "cloud_detector": Kind("`(image) -> cloud`, both arrays of numpy", "examples/find_clouds.py"),
}
