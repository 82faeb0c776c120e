"""What this machine has to share out, found without importing torch."""

import os
import re
import subprocess


def core_count() -> int:
    """Return how many processor cores we may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def visible_gpus() -> list[str]:
    """Return the NVIDIA GPUs that we may use, each as a word for CUDA_VISIBLE_DEVICES; empty if there are none.

    The parts of a GPU that is divided (MIG) count as one each, for a process can use one of them alone.
    """
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        words = [word.strip() for word in given.split(",")]
        ends = [i for i, word in enumerate(words) if not word or word.startswith("-")]  # CUDA stops at these
        return words[: ends[0]] if ends else words
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    # By their ids: CUDA and nvidia-smi do not count in the same order.
    gpus: list[str] = []
    for line in listed.splitlines():
        found = re.search(r"UUID: ([\w/-]+)", line)
        if found and line.startswith("GPU"):
            gpus.append(found[1])
        elif found and line.startswith(" "):
            if gpus and gpus[-1].startswith("GPU"):
                gpus.pop()  # the whole of which this is the first part
            gpus.append(found[1])
    return gpus
