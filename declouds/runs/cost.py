"""What work costs: seconds, memory and energy."""

import ctypes
import re
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from declouds.hardware import peak_memory

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

    A GPU's peak cannot be queried: MMEngine resets it whenever it logs. What torch holds never shrinks.
    """
    if device.type == "cuda":
        return torch.cuda.memory_reserved(device)
    return peak_memory()


POWERCAP = Path("/sys/class/powercap")


class Counter(NamedTuple):
    """A counter of joules: of what, its reading, and the reading at which it starts again from 0, if it does."""

    name: str
    read: Callable[[], float]
    wraps_at: float | None = None


class NoCounterError(Exception):
    """The device does not report its energy; the message says why."""


class EnergyMeter:
    """The energy of a device from now on.

    Counters of processors start again from 0 after some minutes to hours: `update` has to be called more often.

    Args:
        device: a GPU, or the CPU.
    """

    def __init__(self, device: torch.device) -> None:
        self.joules = 0.0
        self.counters: list[Counter] = []
        self.reason: str | None = None
        try:
            self.counters = counters_of(device)
            self.last = [counter.read() for counter in self.counters]
        except NoCounterError as error:
            self.reason = str(error)

    def update(self) -> dict[str, Any]:
        """Read the counters and return joules so far, what counted them, and, if nothing did, why."""
        try:
            if self.reason is None:
                for number, counter in enumerate(self.counters):
                    reading = counter.read()
                    passed = reading - self.last[number]
                    self.joules += passed if passed >= 0 else passed + (counter.wraps_at or 0.0)
                    self.last[number] = reading
        except NoCounterError as error:
            self.reason = str(error)
        joules = None if self.reason else round(self.joules, 1)
        return dict(joules=joules, of=[counter.name for counter in self.counters], reason=self.reason)


def counters_of(device: torch.device) -> list[Counter]:
    """Return the counters of a device.

    Raises:
        NoCounterError: it has none that we can read.
    """
    if device.type == "cuda":
        return gpu_counters(device)
    if device.type == "cpu":
        return cpu_counters()
    raise NoCounterError(f"no counter of the energy of {device.type} is known")


def cpu_counters(folder: Path = POWERCAP) -> list[Counter]:
    """Return a counter for each processor.

    Raises:
        NoCounterError: there are none, or they may not be read.
    """
    zones = sorted(zone for zone in folder.glob("intel-rapl:*") if re.fullmatch(r"intel-rapl:\d+", zone.name))
    packages = {zone: name for zone in zones if (name := _text(zone / "name")).startswith("package")}
    if not packages:
        raise NoCounterError(f"no counters of the processor's energy in {folder}")
    return [
        Counter(f"RAPL {name}", partial(_joules, zone / "energy_uj"), _joules(zone / "max_energy_range_uj"))
        for zone, name in packages.items()
    ]


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError as error:
        raise NoCounterError(f"{path} cannot be read ({error.strerror}): let your user read it") from error


def _joules(path: Path) -> float:
    try:
        return float(_text(path)) / 1e6
    except ValueError as error:
        raise NoCounterError(f"{path} holds no number") from error


def gpu_counters(device: torch.device, library: Any = None) -> list[Counter]:
    """Return the counter of a GPU.

    Args:
        device: the GPU.
        library: NVML; None loads the one that came with the driver.

    Raises:
        NoCounterError: there is no NVML, or it does not count for this GPU.
    """
    name = torch.cuda.get_device_name(device)
    uuid = str(getattr(torch.cuda.get_device_properties(device), "uuid", ""))
    try:
        nvml = library or ctypes.CDLL("libnvidia-ml.so.1")
    except OSError as error:
        raise NoCounterError(f"NVML, which reports the energy of {name}, is not here ({error})") from error

    def call(function: str, *arguments: Any) -> None:
        code = getattr(nvml, function, lambda *_: "missing")(*arguments)  # older drivers lack some
        if code != 0:
            raise NoCounterError(f"NVML does not report the energy of {name} ({function}: {code})")

    handle, millijoules = ctypes.c_void_p(), ctypes.c_ulonglong()
    call("nvmlInit_v2")
    full = uuid if uuid.startswith(("GPU-", "MIG-")) else f"GPU-{uuid}"
    call("nvmlDeviceGetHandleByUUID", full.encode(), ctypes.byref(handle))

    def read() -> float:
        call("nvmlDeviceGetTotalEnergyConsumption", handle, ctypes.byref(millijoules))
        return millijoules.value / 1e3

    return [Counter(f"NVML {name}", read)]
