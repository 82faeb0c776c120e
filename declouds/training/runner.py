"""MMEngine's Runner, for one stage of a run."""

from typing import Any

from mmengine.device import get_device
from mmengine.logging import MMLogger
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from declouds.training import checkpoint


class StageRunner(Runner):
    """A Runner that keeps the terminal for the progress bar and resumes from our checkpoints."""

    _has_loaded: bool

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        """Log to the file in full and to the terminal from warnings on."""
        logger = super().build_logger(*args, **kwargs)
        for handler in logger.handlers:
            if type(handler).__name__ != "FileHandler":
                handler.setLevel("WARNING")
        return logger

    @property
    def bare_model(self) -> Any:
        """The model without the wrapper of distributed training."""
        return self.model.module if is_model_wrapper(self.model) else self.model

    def wrap_model(self, model_wrapper_cfg: dict | None, model: Any) -> Any:
        """Wrap the model for several processes, unless it averages its gradients itself."""
        if getattr(model, "averages_gradients", False):
            return model.to(get_device())
        return super().wrap_model(model_wrapper_cfg, model)

    def load_or_resume(self) -> None:
        """Go on from the newest checkpoint of the stage's folder, if the run is resumed and there is one."""
        if self._resume and not self._has_loaded:
            checkpoint.restore(self)
        self._has_loaded = True
