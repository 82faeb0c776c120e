"""Images larger than the training patch are evaluated tile by tile."""

from functools import partial
from typing import Any

from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from declouds.scenes.sampling.tiled import predict_tiled


@HOOKS.register_module()
class TiledEvaluation(Hook):
    """Restore large images by overlapping tiles in the evaluation loop and score them at full size.

    Args:
        tile: side of a tile; images up to this size are restored in one piece.
        overlap: pixels that neighbouring tiles share.
        batch_size: tiles restored at a time.
    """

    def __init__(self, tile: int = 256, overlap: int = 64, batch_size: int = 1) -> None:
        self.tile, self.overlap, self.batch_size = tile, overlap, batch_size

    def before_val(self, runner: Any) -> None:
        """Let the model restore by tiles."""
        model = runner.bare_model
        model.restore = partial(
            predict_tiled, model.predict, tile=self.tile, overlap=self.overlap, batch_size=self.batch_size
        )

    def after_val(self, runner: Any) -> None:
        """Let the model restore whole images again."""
        model = runner.bare_model
        model.restore = model.predict
