"""Samples by number: which one a number gives does not depend on who draws it, nor on what was drawn before.

So a run that is cut into short slots and resumed sees what it would have seen in one go, with any number of workers.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch.utils.data import Sampler


class EpochNumbers(Sampler[int]):
    """Numbers 0 to length - 1 in epoch 0, length to 2 * length - 1 in the next one, and so on.

    Lightning calls `set_epoch` before each epoch but the first of a run, whose samples it has already begun to read:
    `epoch` says which one that is.
    """

    def __init__(self, length: int, epoch: int = 0) -> None:
        self.length = length
        self.epoch = epoch

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.epoch * self.length, (self.epoch + 1) * self.length))

    def __len__(self) -> int:
        return self.length


@contextmanager
def random_state(seed: int, number: int) -> Iterator[None]:
    """Seed Python's, NumPy's and torch's global generators for one sample; afterwards they go on where they were."""
    before = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=[]):
        own = np.random.SeedSequence([seed, number]).generate_state(3)
        random.seed(int(own[0]))
        np.random.seed(own[1])  # noqa: NPY002, batchgeneratorsv2 draws from it
        torch.manual_seed(int(own[2]))
        try:
            yield
        finally:
            random.setstate(before[0])
            np.random.set_state(before[1])  # noqa: NPY002
