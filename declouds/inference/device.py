"""Where a model runs."""

import torch

from declouds.errors import UserError


def pick_device(name: str = "auto") -> torch.device:
    """Return the device called ``name``; ``auto`` is the first accelerator, else the CPU.

    Raises:
        UserError: there is no such device here.
    """
    if name == "auto":
        found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
        return found or torch.device("cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UserError(f"device {name!r} is not available here: use auto, cpu, cuda or cuda:1") from error
    return device
