"""Signals that ask a process to end, turned into an exception, so that it ends in good order."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))  # Windows has one


class StoppedError(SystemExit):
    """A signal has asked the process to end; its exit code is what a shell reports for such processes."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.signal = signal.Signals(number).name


@contextmanager
def stop_signals() -> Iterator[None]:
    """Raise `StoppedError` in the block for signals that would end the process, unless someone else handles them."""
    if threading.current_thread() is not threading.main_thread():  # only there may handlers be set
        yield
        return
    owner = os.getpid()

    def stop(number: int, frame: FrameType | None) -> None:
        if os.getpid() != owner:  # a worker of a loader, which inherits this: it ends as it always did
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        raise StoppedError(number)

    ours = [number for number in SIGNALS if signal.getsignal(number) is signal.SIG_DFL]  # nohup ignores SIGHUP
    for number in ours:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)
