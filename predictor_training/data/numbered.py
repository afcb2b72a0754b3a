"""Samples by number: which one a number gives does not depend on who draws it, nor on what was drawn before.

So a run that is cut into short slots and resumed sees what it would have seen in one go, with any number of workers,
and of processes that share its batches.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch.utils.data import Sampler

from ..training.processes import Rank


class EpochNumbers(Sampler[int]):
    """Numbers 0 to length - 1 in epoch 0, length to 2 * length - 1 in the next one, and so on.

    Of several processes each gets its part of every batch, in order: of a batch 0 to 7 the first of two gets 0 to 3,
    the second 4 to 7. `length` must be a multiple of `batch_size`, and that of the number of processes.

    Lightning calls `set_epoch` before each epoch but the first of a run, whose samples it has already begun to read:
    `epoch` says which one that is.
    """

    def __init__(self, length: int, batch_size: int, epoch: int = 0, rank: Rank | None = None) -> None:
        self.length = length
        self.batch_size = batch_size
        self.epoch = epoch
        self.rank = rank or Rank()

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        part = self.batch_size // self.rank.processes
        first = self.epoch * self.length + self.rank.number * part
        for begin in range(first, first + self.length, self.batch_size):
            yield from range(begin, begin + part)

    def __len__(self) -> int:
        return self.length // self.rank.processes


@contextmanager
def random_state(seed: int, number: int) -> Iterator[None]:
    """Seed Python's, NumPy's and torch's global generators for one sample; afterwards they go on where they were."""
    states = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=[]):
        seeds = np.random.SeedSequence([seed, number]).generate_state(3)
        random.seed(int(seeds[0]))
        np.random.seed(seeds[1])  # noqa: NPY002, batchgeneratorsv2 draws from it
        torch.default_generator.manual_seed(int(seeds[2]))  # `torch.manual_seed` seeds every device, and takes 2 ms
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])  # noqa: NPY002
