"""Random numbers that belong to a sample, and to nobody else."""

import random

import numpy as np
import torch

from nnunet_doselo.predictor_training.data.numbered import EpochNumbers, random_state
from nnunet_doselo.predictor_training.training.processes import Rank


def draw() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))  # noqa: NPY002


def test_a_number_draws_the_same_whatever_was_drawn_before() -> None:
    with random_state(0, 7):
        first = draw()
    draw()
    with random_state(0, 7):
        assert draw() == first


def test_other_numbers_and_other_seeds_draw_otherwise() -> None:
    drawn = set()
    for seed, number in ((0, 0), (0, 1), (1, 0), (1, 1)):
        with random_state(seed, number):
            drawn |= set(draw())
    assert len(drawn) == 12


def test_outside_the_generators_go_on_where_they_were() -> None:
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    expected = [draw(), draw()]
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    found = [draw()]
    with random_state(0, 3):
        draw()
    found.append(draw())
    assert found == expected


def test_epochs_count_on() -> None:
    numbers = EpochNumbers(3, 1)
    assert list(numbers) == [0, 1, 2]
    numbers.set_epoch(2)
    assert list(numbers) == [6, 7, 8]
    assert len(numbers) == 3
    assert list(EpochNumbers(3, 1, epoch=1)) == [3, 4, 5]


def test_processes_get_their_part_of_each_batch_in_order() -> None:
    """Two batches of four an epoch: what two processes see together, batch by batch, is what one sees."""
    whole = EpochNumbers(8, 4, epoch=1)
    first, second = (EpochNumbers(8, 4, 1, Rank(number, 2)) for number in (0, 1))
    assert list(whole) == [8, 9, 10, 11, 12, 13, 14, 15]
    assert list(first) == [8, 9, 12, 13]
    assert list(second) == [10, 11, 14, 15]
    assert (len(whole), len(first), len(second)) == (8, 4, 4)
    second.set_epoch(0)
    assert list(second) == [2, 3, 6, 7]


def test_any_number_of_processes_sees_the_same_batches() -> None:
    for processes in (1, 2, 3, 6):
        parts = [list(EpochNumbers(24, 6, 2, Rank(number, processes))) for number in range(processes)]
        size = 6 // processes
        batches = [[n for part in parts for n in part[step * size :][:size]] for step in range(4)]
        assert [n for batch in batches for n in batch] == list(range(48, 72))
