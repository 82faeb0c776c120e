"""What work costs: seconds, memory and energy."""

import threading
import time
from collections.abc import Callable
from typing import Any

import torch

from declouds.hardware import peak_memory
from declouds.runs.energy import EnergyMeter

INTERVAL = 30.0  # seconds between readings


class Meter:
    """Measures what happens within its ``with`` block, from a thread that reads now and then.

    Args:
        device: where the work is done.
        read: what the thread calls, if not `readings` itself.
    """

    def __init__(self, device: torch.device, read: Callable[[], Any] | None = None) -> None:
        self.device, self._read = device, read or self.readings
        self._lock, self._over = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._read_now_and_then, name="meter", daemon=True)

    def __enter__(self) -> "Meter":
        self._started, self._memory, self._energy = time.monotonic(), 0, EnergyMeter(self.device)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    @property
    def seconds(self) -> float:
        """Seconds since the block was entered."""
        return time.monotonic() - self._started

    def readings(self) -> dict[str, Any]:
        """Return seconds, bytes and joules so far (see `EnergyMeter.update`)."""
        with self._lock:
            self._memory = max(self._memory, memory_taken(self.device))
            return dict(
                seconds=round(self.seconds, 3),
                peak_memory=self._memory,
                peak_memory_of="GPU" if self.device.type == "cuda" else "process",
                energy=self._energy.update(),
            )

    def _read_now_and_then(self) -> None:
        while not self._over.wait(INTERVAL):
            self._read()


def memory_taken(device: torch.device) -> int:
    """Return the bytes that torch holds of a GPU, freed ones that it keeps too, or the process's peak of resident ones.

    A GPU's peak itself cannot be asked for: MMEngine forgets it whenever it logs. What torch holds never shrinks.
    """
    if device.type == "cuda":
        return torch.cuda.memory_reserved(device)
    return peak_memory()
