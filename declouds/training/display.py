"""Hooks that display a run: progress in the terminal, images in TensorBoard."""

import sys
import time
from typing import Any

import numpy as np
import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch.utils.data import Dataset

DRAW_EVERY = 0.2  # seconds between updates of the bar
LINE_EVERY = 30.0  # the same for lines, without a terminal


@HOOKS.register_module()
class ShowProgress(Hook):
    """A progress bar with stage, iteration, loss, images per second and time left; plain lines without a terminal.

    Args:
        stage: title of the stage.
        batch_size: images per iteration.
    """

    def __init__(self, stage: str, batch_size: int) -> None:
        self.stage, self.batch_size = stage, batch_size
        self.bar: Progress | None = None

    def before_train(self, runner: Any) -> None:
        """Start the clock and the bar."""
        self.first, self.started, self.last_shown = runner.iter, time.perf_counter(), 0.0
        if is_main_process() and sys.stderr.isatty():
            self.bar = Progress(
                TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
                TextColumn("{task.fields[status]}"), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
            )  # fmt: skip
            self.task = self.bar.add_task(self.stage, total=runner.max_iters, completed=runner.iter, status="")
            self.bar.start()

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Show the completed iteration, with the losses read last."""
        done, now = batch_idx + 1, time.perf_counter()
        wait = LINE_EVERY if self.bar is None else DRAW_EVERY
        if not is_main_process() or (now - self.last_shown < wait and done < runner.max_iters):
            return
        self.last_shown = now
        rate = (done - self.first) / max(now - self.started, 1e-9)
        losses = " ".join(
            f"{name.removeprefix('train/')} {history.current():.4f}"
            for name, history in runner.message_hub.log_scalars.items()
            if name.startswith("train/loss")
        )
        status = f"{losses} · {rate * self.batch_size:.1f} images/s"
        if self.bar is not None:
            self.bar.update(self.task, completed=done, status=status)
        else:
            left = (runner.max_iters - done) / rate
            print(f"{self.stage}: {done}/{runner.max_iters} · {status} · {left / 60:.1f} min left", flush=True)

    def after_val_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        """Show the scores of an evaluation."""
        if is_main_process() and metrics:
            scores = ", ".join(f"{name.split('/')[-1]} {value:.4g}" for name, value in metrics.items())
            text = f"{self.stage}: evaluation at iteration {runner.iter}: {scores}"
            print(text, flush=True) if self.bar is None else self.bar.console.print(text)

    def after_train(self, runner: Any) -> None:
        """Close the bar."""
        if self.bar is not None:
            self.bar.stop()


@HOOKS.register_module()
class DrawPanels(Hook):
    """Add a row of images per evaluation image: cloudy, what the model records of its last sampling step, clear.

    Maps range from 0 (black) to 1 (white).

    Args:
        images: the evaluation data set.
        count: number of images.
    """

    def __init__(self, images: Dataset, count: int = 2) -> None:
        self.images, self.count = images, count

    @torch.no_grad()
    def after_val_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        """Draw the panels while the EMA weights are still in the model."""
        if not is_main_process():
            return
        model = runner.bare_model
        device = next(model.parameters()).device
        for index in range(min(self.count, len(self.images))):  # type: ignore[arg-type]
            sample = self.images[index]
            cloudy, noise = (sample[key][None].to(device) for key in ("cloudy", "noise"))
            tiles = [cloudy, *_result_tiles(model, cloudy, noise, sample["name"]), sample["clear"][None]]
            panel = np.concatenate([_to_rgb(tile[0].float().cpu()) for tile in tiles], axis=1)
            runner.visualizer.add_image(f"panel/{sample['name']}", panel, step=runner.iter)


def _result_tiles(model: Any, cloudy: torch.Tensor, noise: torch.Tensor, name: str) -> list[torch.Tensor]:
    """Return what the model records of its last sampling step, or its result if it records nothing."""
    last: dict[str, torch.Tensor] = {}
    result = model.predict(cloudy, noise, name=[name], record=last.update)
    scaled = [2 * last[key] - 1 if kind == "map" else last[key] for key, kind in model.recorded.items() if key in last]
    return scaled or [result]


def _to_rgb(image: torch.Tensor) -> np.ndarray:
    """Return the first three bands of an image in [-1, 1] as (H, W, 3) uint8; one or two bands as grey."""
    bands = image[:3] if len(image) >= 3 else image[:1].expand(3, -1, -1)
    return ((bands.clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
