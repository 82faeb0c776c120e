"""The processes that share the work on a scene; usually just one."""

from dataclasses import dataclass

import torch.distributed


@dataclass(frozen=True)
class Ranks:
    """One of ``world`` processes. What they share is in files, so those on other machines need the same file system."""

    rank: int = 0
    world: int = 1

    @classmethod
    def here(cls) -> "Ranks":
        """Return the place of this process in the group that it has joined, if it has."""
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            return cls(torch.distributed.get_rank(), torch.distributed.get_world_size())
        return cls()

    @property
    def leads(self) -> bool:
        """Whether this process does what only one can do."""
        return self.rank == 0

    def wait(self) -> None:
        """Wait until every process is here."""
        if self.world > 1:
            torch.distributed.barrier()
