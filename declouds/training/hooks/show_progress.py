"""What the terminal shows of a stage."""

import sys
import time
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

DRAW_EVERY = 0.2  # seconds between looks at the loss, each of which waits for the GPU
LINE_EVERY = 30.0  # the same where there is no terminal to draw a bar in


@HOOKS.register_module()
class ShowProgress(Hook):
    """A progress bar with stage, iteration, loss, images a second and time left; plain lines without a terminal.

    Args:
        stage: what to call the stage.
        batch_size: images of one iteration.
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
        """Show the iteration that was just done."""
        done, now = batch_idx + 1, time.perf_counter()
        wait = LINE_EVERY if self.bar is None else DRAW_EVERY
        if not is_main_process() or (now - self.last_shown < wait and done < runner.max_iters):
            return
        self.last_shown = now
        rate = (done - self.first) / max(now - self.started, 1e-9)
        losses = " ".join(
            f"{name} {float(value.detach()):.4f}" for name, value in (outputs or {}).items() if "loss" in name
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
