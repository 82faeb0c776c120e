"""Everything about a stage that can be checked before the first stage has run."""

import torch
from mmengine.dist import get_rank, get_world_size
from mmengine.registry import OPTIM_WRAPPERS, OPTIMIZERS, PARAM_SCHEDULERS

from declouds.errors import UserError
from declouds.layers.timm_encoder import without_pretrained
from declouds.training.stage_run import StageRun
from declouds.training.training_data import StageBatches

CORNER = 64  # pixels on which losses are computed once


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
        config = run.optim_wrapper(False)
        for one in [value for value in config.values() if isinstance(value, dict) and "optimizer" in value] or [config]:
            optimizer = OPTIMIZERS.build({**one["optimizer"], "params": [weight]})
            wrapper = OPTIM_WRAPPERS.build({**one, "optimizer": optimizer})
            for item in stage.schedulers():
                PARAM_SCHEDULERS.build({**item, "optimizer": wrapper})
        run.hooks({})
        _check_model(run)
    except UserError as error:
        raise UserError(str(error) if str(error).startswith("stage ") else f"stage {stage.name}: {error}") from error
    except Exception as error:
        raise UserError(f"stage {stage.name}: {type(error).__name__}: {error}") from error


def _check_model(run: StageRun) -> None:
    """Check that the model can be trained on the patches of the stage.

    Raises:
        UserError: its losses cannot be computed, or it looks images up that the stage changes.
    """
    stage, sample = run.stage, run.patches()[0]
    with without_pretrained():  # a check downloads nothing
        model = run.model({})
    if model.needs_names and (stage.augmentations or stage.crop or stage.reduce > 1):
        raise UserError(
            "priors are looked up for whole images as they are: set augmentations=[], crop=None and reduce=1"
        )
    cloudy, clear = (sample[key][None, :, :CORNER, :CORNER] for key in ("cloudy", "clear"))
    model.check_training(cloudy, clear, [sample["name"]])
