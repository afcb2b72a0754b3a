"""Labels, regions and an ignore label, on images small enough to write down."""

import math

import pytest
import torch

from nnunet_doselo.losses.heads import Heads

TWO_HEADS = Heads((1.0,))
THREE_LABELS = Heads((0.8, 0.9, 1.0))
REGIONS = Heads((0.8, 1.0), regions=True)


def voxels(*channels: float) -> torch.Tensor:
    """One voxel: (1, C, 1, 1)."""
    return torch.tensor(channels).view(1, -1, 1, 1)


def test_two_heads_give_the_difference_of_their_logits() -> None:
    assert TWO_HEADS.logits(voxels(0.5, 2.0)).item() == pytest.approx(1.5)


def test_three_labels_count_one_against_the_rest() -> None:
    # equal logits: each label has probability 1/4, log odds ln(1/3)
    odds = THREE_LABELS.logits(voxels(0.0, 0.0, 0.0, 0.0))
    assert odds.flatten().tolist() == pytest.approx([-math.log(3)] * 3)


def test_regions_keep_their_own_logits() -> None:
    assert REGIONS.logits(voxels(-1.0, 3.0)).flatten().tolist() == [-1.0, 3.0]


def test_prescription_sums_over_labels() -> None:
    probabilities = voxels(0.5, 0.0, 0.5)
    assert THREE_LABELS.prescription(probabilities).item() == pytest.approx(0.9)


def test_prescription_takes_the_highest_of_overlapping_regions() -> None:
    assert REGIONS.prescription(voxels(1.0, 1.0)).item() == pytest.approx(1.0)
    assert REGIONS.prescription(voxels(1.0, 0.0)).item() == pytest.approx(0.8)


def test_decisions_are_what_nnunet_would_write() -> None:
    assert THREE_LABELS.decisions(voxels(0.0, 1.0, 3.0, 2.0)).flatten().tolist() == [0, 1, 0]
    assert THREE_LABELS.decisions(voxels(5.0, 1.0, 3.0, 2.0)).flatten().tolist() == [0, 0, 0]
    assert REGIONS.decisions(voxels(0.1, -0.1)).flatten().tolist() == [1, 0]


def test_truth_of_labels_and_ignored_voxels() -> None:
    heads = Heads((0.8, 1.0), ignore_label=3)
    truth = torch.tensor([[0, 1], [2, 3]]).view(1, 1, 2, 2)
    assert heads.truth(truth)[0].tolist() == [[[0, 1], [0, 0]], [[0, 0], [1, 0]]]
    assert heads.valid(truth)[0, 0].tolist() == [[True, True], [True, False]]


def test_truth_of_regions_with_an_ignore_channel() -> None:
    heads = Heads((0.8, 1.0), regions=True, ignore_label=3)
    truth = torch.tensor([[1, 1, 0], [1, 0, 1]], dtype=torch.bool).T.view(1, 3, 1, 2)
    assert heads.truth(truth)[0].tolist() == [[[1, 0]], [[1, 0]]]
    assert heads.valid(truth)[0, 0].tolist() == [[True, False]]
