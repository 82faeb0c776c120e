"""What a machine or a cluster has to share out among cells, found without importing torch."""

import math
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from typing import NamedTuple


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


Node = Mapping[str, float]  # what a node has of each resource, by Ray's names


class Share(NamedTuple):
    """What one cell takes of its node; less than one GPU is one taken by several."""

    cpus: int
    gpus: float


def places(node: Node, share: Share) -> int:
    """Return how many cells with ``share`` a node holds side by side."""
    by_cpu = int(node.get("CPU", 0) // share.cpus)
    return min(by_cpu, int(node.get("GPU", 0) / share.gpus)) if share.gpus else by_cpu


def fitting_share(nodes: Sequence[Node], jobs: int, with_gpu: bool) -> Share | None:
    """Return the largest share with which ``jobs`` cells find places at a time, or at least some; None if none does.

    On one node that is its cores // jobs, and one GPU while there are enough.
    """
    gpus = 0.0
    if with_gpu:
        count = sum(int(node.get("GPU", 0)) for node in nodes)
        if count == 0:
            return None
        gpus = math.floor(1e4 / math.ceil(jobs / count)) / 1e4  # Ray counts in steps of 0.0001
    for cpus in range(int(max((node.get("CPU", 0) for node in nodes), default=0)), 0, -1):
        if sum(places(node, Share(cpus, gpus)) for node in nodes) >= jobs:
            return Share(cpus, gpus)
    smallest = Share(1, gpus)
    return smallest if any(places(node, smallest) for node in nodes) else None
