"""The machine: its processes, devices and memory."""

import ctypes
import os
import platform
import sys
from datetime import timedelta
from pathlib import Path

import torch

from declouds.errors import UserError


def keep_freed_memory() -> None:
    """Make glibc keep freed memory: on a CPU, returning every large buffer to the system takes half of the run time."""
    if platform.system() != "Linux":
        return
    try:
        libc = ctypes.CDLL("libc.so.6")
    except OSError:  # another C library, without mallopt
        return
    trim_threshold, mmap_threshold = -1, -3  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD of malloc.h
    libc.mallopt(trim_threshold, 2**31 - 1)
    libc.mallopt(mmap_threshold, 2**31 - 1)


def pick_launcher(name: str) -> str:
    """Return ``none``, ``pytorch`` or ``slurm``; ``auto`` is ``pytorch`` under ``torchrun``, else ``none``.

    Raises:
        UserError: the launcher is unknown.
    """
    if name == "auto":
        return "pytorch" if "TORCHELASTIC_RUN_ID" in os.environ else "none"
    if name not in ("none", "pytorch", "slurm"):
        raise UserError(f"--launcher must be auto, none, pytorch or slurm, got {name!r}")
    return name


def start_processes(launcher: str, command: str = "tools/train.py CONFIG", only_meet: bool = False) -> None:
    """Join the process group of ``torchrun`` (gloo on CPU, nccl on GPUs) before MMEngine, which only knows GPUs.

    Args:
        launcher: ``none``, ``pytorch`` or ``slurm``.
        command: the command line to suggest in messages.
        only_meet: the processes only synchronise, without exchanging tensors; the timeout is then 7 days.

    Raises:
        UserError: the environment variables of the process group are not set.
    """
    if launcher == "none":
        return
    if launcher == "slurm":
        for ours, theirs in (("RANK", "SLURM_PROCID"), ("LOCAL_RANK", "SLURM_LOCALID"), ("WORLD_SIZE", "SLURM_NTASKS")):
            os.environ.setdefault(ours, os.environ.get(theirs, ""))
    missing = [name for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT") if not os.environ.get(name)]
    if missing:
        raise UserError(
            f"--launcher {launcher} needs {', '.join(missing)} in the environment: start with "
            f"`torchrun --nproc-per-node N {command}`"
        )
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    if only_meet:
        torch.distributed.init_process_group("gloo", timeout=timedelta(days=7))
    else:
        torch.distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")


def stop_processes() -> None:
    """Leave the process group, if there is one."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def pick_device(name: str = "auto") -> torch.device:
    """Return the device called ``name``; ``auto`` is the first accelerator, else the CPU.

    Raises:
        UserError: the device is not available.
    """
    if name == "auto":
        accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
        return accelerator or torch.device("cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UserError(f"device {name!r} is not available here: use auto, cpu, cuda or cuda:1") from error
    return device


def free_memory(device: torch.device) -> int | None:
    """Return the free memory of a GPU in bytes; None for other devices."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else None


def peak_memory(device: torch.device | None = None) -> int:
    """Return the peak memory in bytes: of the GPU if ``device`` is one, else the resident memory of this process.

    It is 0 where the system does not report it (Windows).
    """
    if device is not None and device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:  # not Linux, where getrusage would include the parent process
        try:
            import resource
        except ModuleNotFoundError:  # Windows
            return 0
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
