"""The keys of a config: what each means, what it takes and its default. Errors and documentation read this table."""

from typing import NamedTuple


class Key(NamedTuple):
    """One key of a config.

    Args:
        meaning: what it sets.
        takes: its values, in words.
        default: what holds without it; empty for a key that every config needs.
        kinds: the Python types of its values; empty if the type is checked where the value is used.
    """

    meaning: str
    takes: str
    default: str = ""
    kinds: tuple[type, ...] = ()


REQUIRED = {
    "model": Key("The method and its parts.", "dict(type=..., ...)", kinds=(dict,)),
    "datamodule": Key("The data to train, validate and test on.", "dict(type=..., ...)", kinds=(dict,)),
    "stages": Key("The stages of the training, in order.", "a list of stages, [dict(name=..., train=[...], ...)]"),
}
KEYS = {
    **REQUIRED,
    "load_from": Key(
        "Weights from which parts start before the stages train them further.",
        "a weights file, a name of `declouds weights list`, or dict(PART=FILE)",
        "random weights",
    ),
    "test_datamodule": Key(
        "The data that `declouds test` measures on.", "dict(type=..., ...)", "`datamodule`", kinds=(dict,)
    ),
    "seed": Key(
        "Seed of everything random: weights, order and crops of the images, noise, times.",
        "an integer from 0 to 2**32 - 1",
        "0",
    ),
    "num_workers": Key("Processes that read images, for each training process.", "an integer", "0", kinds=(int,)),
    "precision": Key(
        "Precision of the networks' forward pass; `auto` is bfloat16 where the device computes it in hardware.",
        "'fp32', 'bf16' or 'auto'",
        "'fp32'",
        kinds=(str,),
    ),
    "compile": Key(
        "Compile the networks with `torch.compile` when they are first called.", "True or False", "False", kinds=(bool,)
    ),
    "ema": Key(
        "Decay of the exponential moving average of the trained weights.",
        "dict(decay=NUMBER), or None to disable it",
        "None",
        kinds=(dict, type(None)),
    ),
    "log_interval": Key(
        "Iterations between two lines of the log.", "an integer number of iterations", "20", kinds=(int,)
    ),
    "checkpoint_interval": Key(
        "Iterations between two checkpoints.", "an integer number of iterations", "1000", kinds=(int,)
    ),
    "val": Key(
        "Evaluation during training: number of images (all without `images`), panels drawn (2), and side and overlap "
        "of the windows in which they are computed.",
        "dict(images=..., panels=..., tile=..., overlap=...)",
        "all images, 2 panels",
        kinds=(dict,),
    ),
    "custom_imports": Key(
        "Modules to import first, for parts of your own that are not installed as a plugin.",
        "dict(imports=[MODULE, ...])",
        "none",
    ),
    "custom_hooks": Key("Further hooks of MMEngine for every stage.", "a list of dict(type=...) or hooks", "none"),
}

# Keys that every part of the model has, as `denoiser_weights`; PART stands for its name.
KEYS_OF_A_PART = {
    "PART_weights": Key(
        "Finished weights of this part; stages that train nothing else are left out.",
        "a weights file, a name of `declouds weights list`, or 'train'",
        "'train'",
    ),
    "PART_stages": Key("Stages of this part's own recipe, which come before `stages`.", "a list of stages", "none"),
}
