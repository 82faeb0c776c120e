"""How much of a cluster's nodes one cell takes."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

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
