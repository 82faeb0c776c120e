"""MMEngine components for one stage: Runner, training loop, optimisers and mixed precision."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.device import get_device
from mmengine.logging import MMLogger
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.registry import LOOPS, OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS, OPTIMIZERS
from mmengine.runner import BaseLoop, Runner
from torch import nn
from torch.utils.data import DataLoader

from declouds.errors import UserError
from declouds.training import checkpoint
from declouds.training.augmentation import Augmentation
from declouds.training.hooks import GRADIENT_NORM


class StageRunner(Runner):
    """A Runner that leaves the terminal to the progress bar and resumes from our checkpoints."""

    _has_loaded: bool

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        """Log everything to the file, and only warnings and errors to the terminal."""
        logger = super().build_logger(*args, **kwargs)
        for handler in logger.handlers:
            if type(handler).__name__ != "FileHandler":
                handler.setLevel("WARNING")
        return logger

    @property
    def bare_model(self) -> Any:
        """The model without its distributed wrapper."""
        return self.model.module if is_model_wrapper(self.model) else self.model

    def wrap_model(self, model_wrapper_cfg: dict | None, model: Any) -> Any:
        """Wrap the model for distributed training, unless it averages its gradients itself."""
        if getattr(model, "averages_gradients", False):
            return model.to(get_device())
        return super().wrap_model(model_wrapper_cfg, model)

    def load_or_resume(self) -> None:
        """Restore the newest checkpoint of the stage's folder, if the run is resumed."""
        if self._resume and not self._has_loaded:
            checkpoint.restore(self)
        self._has_loaded = True


@LOOPS.register_module()
class StageLoop(BaseLoop):
    """Iterations of one stage, starting from its checkpoint.

    On resume MMEngine's own loop loads every skipped batch; this one sets the start of the batch sampler.

    Args:
        runner: the runner.
        dataloader: a loader whose batch sampler has a ``start``.
        max_iters: iterations of the stage.
        val_interval: iterations between evaluations; the last iteration is always evaluated.
        augment: changes each batch on the device; no augmentation if not given.
        accumulate: number of chunks of a step, see `Stage`; the optimiser's wrapper has the same number.
        check_interval: iterations between checks for non-finite losses, each of which synchronises with the GPU.
    """

    def __init__(
        self,
        runner: Runner,
        dataloader: DataLoader,
        max_iters: int,
        val_interval: int,
        augment: Augmentation | None = None,
        accumulate: int = 1,
        check_interval: int = 1,
    ) -> None:
        super().__init__(runner, dataloader)
        self.augment, self.accumulate = augment or Augmentation(), accumulate
        self.max_iters = max_iters
        self.val_interval, self.check_interval = val_interval, check_interval
        self._first_bad: torch.Tensor | None = None  # first iteration with a non-finite loss, or -1; on the device
        self.val_begin = 1
        self.iter = 0
        self.epoch = 0  # used by MMEngine's hooks
        self.max_epochs = 1
        self.stop_training = False

    def run(self) -> Any:
        """Train to the last iteration."""
        self.runner.call_hook("before_train")
        self.runner.call_hook("before_train_epoch")
        batches = self._remaining_batches()
        if self.iter > 0:
            self._validate_if_due()  # the run may have been killed before this evaluation
        while self.iter < self.max_iters and not self.stop_training:
            self.runner.model.train()
            self.run_iter(self._prepared(next(batches)))
            self._validate_if_due()
        self.runner.call_hook("after_train_epoch")
        self.runner.call_hook("after_train")
        return self.runner.model

    def run_iter(self, batch: dict[str, Any]) -> None:
        """Take one optimisation step."""
        self.runner.call_hook("before_train_iter", batch_idx=self.iter, data_batch=batch)
        outputs = self._step(batch)
        self._note_losses(outputs)
        if (self.iter + 1) % self.check_interval == 0 or self.iter + 1 == self.max_iters:
            self.check_losses()
        self.runner.call_hook("after_train_iter", batch_idx=self.iter, data_batch=batch, outputs=outputs)
        self.iter += 1

    def _step(self, batch: dict[str, Any]) -> dict[str, torch.Tensor]:
        """Return the losses of a step; with several chunks, their means."""
        if self.accumulate > 1:  # what is random is drawn once, so that the step is the same in chunks
            batch = batch | {"drawn": self.runner.bare_model.draw(batch["clear"])}
        chunks = [_chunk(batch, index, self.accumulate) for index in range(self.accumulate)]
        steps = [self.runner.model.train_step(chunk, optim_wrapper=self.runner.optim_wrapper) for chunk in chunks]
        return {key: torch.stack([step[key].detach() for step in steps]).mean(0) for key in steps[0]}

    def _prepared(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Return a batch of the loader on the device, augmented."""
        positions = batch.pop("position").tolist()
        return self.augment(self.runner.bare_model.data_preprocessor(batch, True), positions)

    def _note_losses(self, outputs: dict[str, torch.Tensor]) -> None:
        """Record non-finite losses on the device, without synchronising with the GPU."""
        total = torch.stack([value.detach().float().sum() for value in outputs.values()]).sum()
        if self._first_bad is None:
            self._first_bad = torch.full_like(total, -1)
        first = (self._first_bad < 0) & ~total.isfinite()
        self._first_bad = torch.where(first, float(self.iter), self._first_bad)

    def check_losses(self) -> None:
        """Check the losses recorded so far.

        Raises:
            UserError: non-finite loss.
        """
        if self._first_bad is not None and (bad := int(self._first_bad)) >= 0:
            raise UserError(
                f"non-finite loss at iteration {bad}: lower the learning rate or set clip_grad, and start again "
                "in another --work-dir"
            )

    def _remaining_batches(self) -> Iterator[dict[str, Any]]:
        self.dataloader.batch_sampler.start = self.iter
        return iter(self.dataloader)

    def _validate_if_due(self) -> None:
        due = self.iter % self.val_interval == 0 or self.iter == self.max_iters
        if due and self.runner.val_loop is not None:
            self.runner.val_loop.run()


def _chunk(batch: Any, index: int, count: int) -> Any:
    """Return one of ``count`` equal chunks of a batch, along the images."""
    if isinstance(batch, dict):
        return {key: _chunk(value, index, count) for key, value in batch.items()}
    size = len(batch) // count
    return batch[index * size : (index + 1) * size]


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class PartOptimizers:
    """Build one optimiser for each named part of a model.

    Args:
        optim_wrapper_cfg: part -> config of its optimiser wrapper.
        paramwise_cfg: unused; MMEngine passes it to every constructor.
    """

    def __init__(self, optim_wrapper_cfg: dict[str, dict[str, Any]], paramwise_cfg: Any = None) -> None:
        self.configs = optim_wrapper_cfg

    def __call__(self, model: nn.Module) -> OptimWrapperDict:
        """Return part -> optimiser wrapper."""
        wrappers = {}
        for part, config in self.configs.items():
            parameters = list(getattr(model, part).parameters())
            optimizer = OPTIMIZERS.build({**config["optimizer"], "params": parameters})
            wrappers[part] = OPTIM_WRAPPERS.build({**config, "optimizer": optimizer})
        return OptimWrapperDict(**wrappers)


@OPTIM_WRAPPERS.register_module()
class StageOptimWrapper(OptimWrapper):
    """An optimiser that counts the chunks of its steps, and never waits for the GPU."""

    def initialize_count_status(self, model: nn.Module, init_counts: int, max_counts: int) -> None:
        """Do not count iterations, as MMEngine would: every session starts with a new step."""

    def _clip_grad(self) -> None:
        """Clip the gradient, and leave its norm on the device."""
        parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        self.message_hub.update_info(GRADIENT_NORM, self.clip_func(parameters, **self.clip_grad_kwargs))


@OPTIM_WRAPPERS.register_module()
class AutocastOptimWrapper(StageOptimWrapper):
    """Run the forward pass under bfloat16 autocast.

    MMEngine's AmpOptimWrapper does not support the CPU. bfloat16 has the exponent range of float32, so no gradient
    scaler is needed.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[Any]:
        """Autocast the forward pass on the model's device."""
        device = next(model.parameters()).device.type
        with super().optim_context(model), torch.autocast(device, torch.bfloat16):
            yield
