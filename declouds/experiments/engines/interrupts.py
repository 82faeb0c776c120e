"""Ctrl-C and its kin, taken at one place of a loop rather than anywhere."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from declouds.runs.stop_signals import SIGNALS as END_SIGNALS

SIGNALS = (signal.SIGINT, *END_SIGNALS)


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
            for number in SIGNALS:
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
