"""The processes that train together: which one this is, and what they add up to.

A batch is shared out among them, so how many there are decides how long a run takes and not what it learns.
"""

import os
from dataclasses import dataclass

import torch
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor, distributed

from nnunet_doselo.common.errors import DoseloError

STARTED = ("WORLD_SIZE", "SLURM_STEP_NUM_TASKS")
"""Where torchrun (or Lightning, for the processes it starts itself) and srun say how many processes they started."""


@dataclass(frozen=True)
class Rank:
    """One of `processes`, counted from 0 over all nodes; the first one writes files and talks."""

    number: int = 0
    processes: int = 1


def is_first_process() -> bool:
    """Whether this process is the one to write and to print, known before Lightning has brought them together."""
    return getattr(rank_zero_only, "rank", 0) == 0 and int(os.environ.get("NODE_RANK", 0)) == 0


def check_processes(devices: int, num_nodes: int, batch_size: int) -> None:
    """Raises DoseloError if a batch cannot be shared out evenly, or other processes were started than are wanted."""
    wanted = devices * num_nodes
    if min(devices, num_nodes) < 1:
        raise DoseloError(f"devices and nodes must be 1 or more, found {devices} and {num_nodes}")
    if batch_size % wanted:
        raise DoseloError(
            f"the batch is shared out among all processes, so its size must be a multiple of devices x nodes; found "
            f"{batch_size} for {devices} x {num_nodes}; change --batch-size or --devices"
        )
    started = next((int(os.environ[name]) for name in STARTED if name in os.environ), 1)
    if started not in (1, wanted):
        raise DoseloError(
            f"{started} processes were started, by torchrun or srun, for {devices} devices x {num_nodes} nodes; give "
            "--devices (of one node) and --num-nodes so that they multiply to the processes"
        )


def mean_over_processes(number: Tensor) -> Tensor:
    """Mean of a scalar that each process has its own of, the same in all; without gradient.

    As it is where there is one process.
    """
    if not distributed.is_initialized():
        return number
    total = number.detach().to(torch.get_default_dtype(), copy=True)
    distributed.all_reduce(total)
    return total / distributed.get_world_size()
