"""Everything about a stage that can be checked before the first stage has run."""

import torch
from mmengine.dist import get_rank, get_world_size
from mmengine.registry import OPTIM_WRAPPERS, OPTIMIZERS, PARAM_SCHEDULERS

from declouds.errors import UserError
from declouds.models.one_pass import build_loss
from declouds.registry import REFERENCES
from declouds.training.settings import Settings
from declouds.training.stage_model import model_of_stage
from declouds.training.stage_run import StageRun
from declouds.training.training_data import StageBatches

CORNER = 64  # pixels on which losses are tried out


def check_stage(run: StageRun) -> None:
    """Build everything that the stage is made of, so that a mistake shows before the first stage has run.

    Raises:
        UserError: names the stage and what is wrong.
    """
    stage = run.stage
    run.patches()[0]
    share = StageBatches(stage.batch_size, 1, get_rank(), get_world_size()).share
    sizes = sorted(set(getattr(run.settings.datamodule.train_dataset, "sizes", ())))
    if stage.crop is None and share > 1 and len(sizes) > 1:
        raise UserError(
            f"stage {stage.name}: images of several sizes ({sizes[0]}, {sizes[1]}, ...) make no batch of whole "
            "images: set crop, or batch_size=1"
        )
    try:
        weight = torch.nn.Parameter(torch.zeros(1))
        config = stage.optim_wrapper(False)
        config = config.get("reference", config)  # that of a discriminator differs in its learning rate alone
        optimizer = OPTIMIZERS.build({**config["optimizer"], "params": [weight]})
        wrapper = OPTIM_WRAPPERS.build({**config, "optimizer": optimizer})
        for item in stage.schedulers():
            PARAM_SCHEDULERS.build({**item, "optimizer": wrapper})
        run.hooks({})
        if stage.train == ("reference",):
            _try_losses(run)
    except UserError as error:
        raise UserError(f"stage {stage.name}: {error}") from error
    except Exception as error:
        raise UserError(f"stage {stage.name}: {type(error).__name__}: {error}") from error
    changed = stage.augmentations or stage.crop or stage.reduce > 1
    if "fusion" in stage.train and changed and _looks_up_priors(run.settings):
        raise UserError(
            f"stage {stage.name}: priors are looked up for whole images as they are: set augmentations=[], "
            "crop=None and reduce=1"
        )


def _try_losses(run: StageRun) -> None:
    """Take the losses of a reference once, on a corner of an image.

    Raises:
        UserError: a loss is of what the network does not give, or is not made for it.
    """
    stage = run.stage
    for config in stage.losses:
        takes, of = getattr(build_loss(config), "takes", "images"), config.get("of", "restorations")
        if takes == "logits" or (takes == "latent") != (of == "latent"):
            raise UserError(f"{config['type']} is a loss of {takes}, it cannot be taken of the {of}")
    if stage.adversarial_loss and getattr(build_loss(stage.adversarial_loss), "takes", "images") != "logits":
        raise UserError(f"adversarial_loss {stage.adversarial_loss['type']} is no loss of logits: try SoftplusGAN")
    sample = run.patches()[0]
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        cloudy, clear = (sample[key][None, :, :CORNER, :CORNER] for key in ("cloudy", "clear"))
        model_of_stage(stage, run.settings, {}).losses(cloudy, clear, [sample["name"]])


def _looks_up_priors(settings: Settings) -> bool:
    reference = settings.model_config.get("reference") or {}
    return bool(reference) and getattr(REFERENCES.find(reference["type"]), "needs_names", False)
