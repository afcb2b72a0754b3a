"""Patches with their axes in any order, shown to predictors of slices and of volumes as axial images."""

import numpy as np
import pytest
import torch
from known_dose import ByHand, LeaningDose
from torch import Tensor

from nnunet_doselo.losses.axial import AxialDoseLoss, AxialLayout
from nnunet_doselo.losses.heads import Heads

SIZE = (2, 3, 4)
ORDERS = [[0, 1, 2], [1, 0, 2], [2, 0, 1], [1, 2, 0], [0, 2, 1]]


def numbered() -> Tensor:
    """(1, 1, Z, Y, X), each voxel's value its place: 100 z + 10 y + x."""
    z, y, x = torch.meshgrid(*(torch.arange(n) for n in SIZE), indexing="ij")
    return (100 * z + 10 * y + x)[None, None]


def as_planned(volume: Tensor, transpose_forward: list[int]) -> Tensor:
    """As nnU-Net's preprocessing turns an array (Z, Y, X)."""
    return volume.permute(0, 1, *(axis + 2 for axis in transpose_forward))


@pytest.mark.parametrize("order", ORDERS)
def test_a_volume_is_turned_back(order: list[int]) -> None:
    arranged = AxialLayout.of(order, 3, 3).arrange(as_planned(numbered(), order))
    assert torch.equal(arranged, numbered())


@pytest.mark.parametrize("order", ORDERS)
def test_slices_are_axial_and_follow_each_other_image_by_image(order: list[int]) -> None:
    two_images = torch.cat([numbered(), numbered() + 1000])
    two_channels = torch.cat([two_images, -two_images], dim=1)
    slices = AxialLayout.of(order, 3, 2).arrange(as_planned(two_channels, order))
    assert slices.shape == (4, 2, 3, 4)
    assert slices[:, 0, 1, 2].tolist() == [12, 112, 1012, 1112]
    assert torch.equal(slices[:, 1], -slices[:, 0])


def test_slices_stay_as_they_are() -> None:
    layout = AxialLayout.of([0, 1, 2], 2, 2)
    slices = numbered()[:, :, 0]
    assert torch.equal(layout.arrange(slices), slices)
    assert layout.spacing([2.0, 3.0]) == (2.0, 3.0)


def test_slices_of_plans_that_swap_their_axes_are_turned_back() -> None:
    layout = AxialLayout.of([0, 2, 1], 2, 2)
    assert torch.equal(layout.arrange(numbered()[:, :, 0].transpose(2, 3)), numbered()[:, :, 0])
    assert layout.spacing([2.0, 3.0]) == (3.0, 2.0)


def test_spacings_go_with_their_axes() -> None:
    # x first, then z and y: 4 mm between sagittal slices, 2 mm along z, 3 mm along y
    assert AxialLayout.of([2, 0, 1], 3, 3).spacing([4.0, 2.0, 3.0]) == (2.0, 3.0, 4.0)
    assert AxialLayout.of([2, 0, 1], 3, 2).spacing([4.0, 2.0, 3.0]) == (3.0, 4.0)


@pytest.mark.parametrize("dim", [2, 3])
def test_the_loss_of_a_turned_patch_by_hand(dim: int) -> None:
    generator = torch.Generator().manual_seed(0)
    output = torch.randn(2, 2, *SIZE, generator=generator)
    truth, oars = (torch.randint(0, 2, (2, 1, *SIZE), generator=generator) for _ in range(2))
    ct_hu = 500 * torch.randn(2, 1, *SIZE, generator=generator)
    order = [2, 0, 1]
    layout = AxialLayout.of(order, 3, dim)
    loss = AxialDoseLoss(layout, LeaningDose(60.0, dim), Heads((1.0,)), 60.0, (4.0, 2.0, 3.0), (2.0, 3.0, 4.0)[-dim:])
    turned = [as_planned(x, order) for x in (output, truth, oars, ct_hu)]
    expected = ByHand([1.0]).dose_term(*(np.asarray(x) for x in turned), (1, 2, 0), dim)
    assert loss(*turned).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("predictor_mm", [(4.0, 4.0), (4.0, 4.0, 4.0)])
def test_only_the_axes_that_the_predictor_knows_are_resampled(predictor_mm: tuple[float, ...]) -> None:
    seen: dict[str, object] = {}

    def record(target: Tensor, oars: Tensor, ct: Tensor) -> Tensor:
        seen["size"], seen["volume"] = tuple(target.shape[2:]), target.sum().item()
        return 60 * target

    # x first; 8 voxels of 2 mm along y and x, 6 of 2 mm along z
    truth = torch.zeros(1, 1, 8, 6, 8)
    truth[:, :, 2:6, 2:4, 2:6] = 1
    layout = AxialLayout.of([2, 0, 1], 3, len(predictor_mm))
    loss = AxialDoseLoss(layout, record, Heads((1.0,)), 60.0, (2.0, 2.0, 2.0), predictor_mm, voxels_at_once=10**6)
    far_off = torch.cat([torch.zeros_like(truth), torch.full_like(truth, -50.0)], dim=1)
    assert loss(far_off, truth, torch.zeros_like(truth).to(torch.int16), torch.zeros_like(truth)).item() > 0
    assert seen["size"] == ((4, 4) if len(predictor_mm) == 2 else (3, 4, 4))
