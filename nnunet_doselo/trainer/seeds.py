"""Where random numbers start."""

import random

import numpy as np
import torch


def set_seeds(seed: int, process: int = 0) -> None:
    """Python's, NumPy's and torch's generators of this process; processes of one training get different numbers."""
    numbers = seed + 2**16 * process
    random.seed(numbers)
    np.random.seed(numbers)  # noqa: NPY002, the generator that nnU-Net and batchgenerators draw from
    torch.manual_seed(numbers)
