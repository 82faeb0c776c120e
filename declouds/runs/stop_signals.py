"""Signals that ask a process to end: raised as an exception at once, or noted and raised at a chosen place."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

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


ALL_SIGNALS = (signal.SIGINT, *SIGNALS)


class Interrupts:
    """While open, a first signal is only noted, for `check` to raise: no process is started and then forgotten.

    A second one is raised at once, for those who do not want to wait for an orderly end. Ignored signals stay ignored
    (`nohup`). Does nothing outside of the main thread, where no signal arrives.
    """

    def __init__(self) -> None:
        self._noted: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Interrupts":
        self.listen()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def listen(self) -> None:
        """Take the signals, also from those who took them since; in the end all go back to who had them first."""
        if threading.current_thread() is threading.main_thread():
            for number in ALL_SIGNALS:
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    before = signal.signal(number, self._note)
                    self._before.setdefault(number, before)

    def check(self) -> None:
        """Raise what was noted.

        Raises:
            KeyboardInterrupt: for Ctrl-C.
            SystemExit: for the others, with the code that a shell gives to their victims.
        """
        if self._noted is not None:
            raise KeyboardInterrupt if self._noted == signal.SIGINT else SystemExit(128 + self._noted)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._noted is not None:
            self.check()
        self._noted = number
