"""Which process of a distributed run this is."""

from __future__ import annotations

import os
from typing import NamedTuple


class World(NamedTuple):
    """Set by ``torchrun`` or ``accelerate launch`` through the environment.

    Args:
        rank: This process's number among all.
        size: Number of processes.
        local_rank: This process's number on its machine, which is its GPU's.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def main(self) -> bool:
        """Whether this process evaluates, saves and reports."""
        return self.rank == 0

    @classmethod
    def from_environment(cls) -> World:
        """RANK, WORLD_SIZE and LOCAL_RANK; a single process when they are not set."""
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
        rank, size, local = (
            int(os.environ.get(name, default)) for name, default in zip(names, "010", strict=True)
        )
        return cls(rank, size, local)
