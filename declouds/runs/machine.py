"""What ran, and on what: the command, the code, the packages, the machine."""

import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

import declouds
from declouds.registry import PLUGIN_GROUP

PACKAGES = (
    "torch", "torchvision", "torchgeo", "mmengine", "timm", "kornia", "torchmetrics", "lpips", "numpy", "scipy",
    "rasterio", "safetensors",
)  # fmt: skip


def machine_facts() -> dict[str, Any]:
    """Return everything beside the config that a result may depend on, the device apart, as plain values."""
    return dict(
        command=shlex.join([Path(sys.executable).name, *sys.orig_argv[1:]]),
        folder=str(Path.cwd()),
        code=code_version(Path(declouds.__file__).parents[1]),
        versions=package_versions(),
        python=platform.python_version(),
        system=platform.platform(),
        host=platform.node(),
        cpu=cpu_name(),
        cpus=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        threads=torch.get_num_threads(),
    )


def code_version(root: Path) -> dict[str, Any]:
    """Return version, git commit, and whether the package differs from it; None where ``root`` is not a checkout."""
    known = dict(declouds=declouds.__version__, commit=None, changed=None)
    if not (root / ".git").exists():  # not asked of git, which would find a repository that only surrounds the package
        return known
    commit, changes = _git(root, "rev-parse", "HEAD"), _git(root, "status", "--porcelain", "--", "declouds")
    return dict(known, commit=commit, changed=None if changes is None else bool(changes))


def _git(root: Path, *arguments: str) -> str | None:
    environment = dict(os.environ, GIT_OPTIONAL_LOCKS="0")  # look, and write nothing
    try:
        answer = subprocess.run(
            ["git", "-C", str(root), *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()


def package_versions() -> dict[str, str]:
    """Return the versions of the packages that results depend on, plugins among them."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    plugins = (entry.dist for entry in importlib.metadata.entry_points(group=PLUGIN_GROUP))
    return versions | {plugin.name: plugin.version for plugin in plugins if plugin is not None}


def device_name(device: torch.device) -> str:
    """Return the model of a GPU, or of the CPU."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"{device.type}: {cpu_name()}"


def cpu_name() -> str:
    """Return the model of the CPU, as reported by the system."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())
