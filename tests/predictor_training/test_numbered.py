"""Random numbers that belong to a sample, and to nobody else."""

import random

import numpy as np
import torch

from nnunet_doselo.predictor_training.numbered import EpochNumbers, random_state


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
    numbers = EpochNumbers(3)
    assert list(numbers) == [0, 1, 2]
    numbers.set_epoch(2)
    assert list(numbers) == [6, 7, 8]
    assert len(numbers) == 3
    assert list(EpochNumbers(3, epoch=1)) == [3, 4, 5]
