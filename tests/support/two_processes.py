"""Two processes that train together on the CPU, for tests: gloo, started here, as torchrun would."""

import os
import socket
from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch.utilities import rank_zero_only
from torch import distributed

Work = Callable[..., None]


def in_two_processes(work: Work, *arguments: Any) -> None:
    """Call `work(rank, *arguments)`, a function of a module, in both; an error in either is raised here."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(_begin, (port, work, *arguments), nprocs=2)


def _begin(rank: int, port: int, work: Work, *arguments: Any) -> None:
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "CUDA_VISIBLE_DEVICES": ""}
    os.environ.update(where, LOCAL_RANK=str(rank), RANK=str(rank), WORLD_SIZE="2", NODE_RANK="0")
    rank_zero_only.rank = rank  # type: ignore[attr-defined]
    torch.set_num_threads(1)
    distributed.init_process_group("gloo")
    work(rank, *arguments)
    distributed.destroy_process_group()
