"""Both terms for every kind of labels: on 4 x 4 pictures by hand, and their gradients against finite differences."""

import math
from dataclasses import dataclass

import pytest
import torch
from predictors import random_network
from torch import Tensor

from nnunet_doselo.losses.axial import AxialDoseLoss, AxialLayout
from nnunet_doselo.losses.compound import DoseGuidedLoss
from nnunet_doselo.losses.heads import Heads
from nnunet_doselo.losses.voxel import BinaryCrossEntropy

RX = 60.0
LN2, LN3, LN4 = math.log(2), math.log(3), math.log(4)


def mean_of_the_row(target: Tensor, oars: Tensor, ct: Tensor) -> Tensor:
    """A dose that can be worked out in the head: each voxel gets the mean of its row."""
    return RX * target.mean(-1, keepdim=True).expand_as(target)


def columns(*values: int) -> Tensor:
    """A label map (1, 1, 4, 4) of these columns."""
    return torch.tensor(values).expand(4, 4)[None, None].clone()


def regions(*channels: tuple[int, ...]) -> Tensor:
    return torch.cat([columns(*channel) for channel in channels], dim=1).bool()


@dataclass(frozen=True)
class Picture:
    """A network that says `odds` (foreground against background) in the first column, and 1 to 1 elsewhere."""

    heads: Heads
    truth: Tensor
    outputs: int
    voxel: float
    dose: float
    odds: float = 1.0

    def logits(self) -> Tensor:
        logits = torch.zeros(1, self.outputs, 4, 4)
        logits[:, 0 if self.heads.regions else 1 :, :, 0] = math.log(self.odds)
        return logits


PICTURES = {
    # each row 1 0 0 0: mean 1/4, the network's 1/2
    "two heads": Picture(Heads((1.0,)), columns(1, 0, 0, 0), 2, LN2, (1 / 4) ** 2),
    # 3 to 1 in the first column costs ln(4/3) there; the row's mean is (3/4 + 3/2) / 4 = 9/16
    "two heads, decided": Picture(
        Heads((1.0,)), columns(1, 0, 0, 0), 2, (LN4 - LN3 + 3 * LN2) / 4, (9 / 16 - 1 / 4) ** 2, odds=3.0
    ),
    # four equal logits: 1/4 each, (0.8 + 0.9 + 1) / 4 = 0.675; a true label costs ln 4, a false one ln(4/3)
    "three labels": Picture(
        Heads((0.8, 0.9, 1.0)),
        columns(3, 0, 0, 0),
        4,
        (LN4 + 11 * (LN4 - LN3)) / 12,
        (0.675 - 0.25) ** 2,
    ),
    # 0.8 and 1.0 where they overlap: 1.0; the row's mean (1 + 0.8) / 4 = 0.45; the network's the higher of 0.4 and 0.5
    "regions": Picture(Heads((0.8, 1.0), regions=True), regions((1, 1, 0, 0), (1, 0, 0, 0)), 2, LN2, 0.05**2),
    # 3 to 1: 3/4 of both, so 0.75 in the first column, mean (0.75 + 1.5) / 4 = 0.5625; true ln(4/3) in both channels
    "regions, decided": Picture(
        Heads((0.8, 1.0), regions=True),
        regions((1, 1, 0, 0), (1, 0, 0, 0)),
        2,
        (2 * (LN4 - LN3) + 6 * LN2) / 8,
        (0.5625 - 0.45) ** 2,
        odds=3.0,
    ),
    # two columns count: truth 1 1, mean 2/4; the network's (1/2 + 1/2) / 4
    "ignore": Picture(Heads((1.0,), ignore_label=2), columns(1, 1, 2, 2), 2, LN2, (1 / 2 - 1 / 4) ** 2),
    # 3 to 1 in the first of two columns that count: ln(4/3) and ln 2; (3/4 + 1/2) / 4 = 5/16
    "ignore, decided": Picture(
        Heads((1.0,), ignore_label=2), columns(1, 1, 2, 2), 2, (LN4 - LN3 + LN2) / 2, (1 / 2 - 5 / 16) ** 2, odds=3.0
    ),
    # the third channel marks ignored columns; truth 1.0 0.8: 0.45, the network's (0.5 + 0.5) / 4
    "regions with ignore": Picture(
        Heads((0.8, 1.0), regions=True, ignore_label=3),
        regions((1, 1, 0, 0), (1, 0, 0, 0), (0, 0, 1, 1)),
        2,
        LN2,
        (0.45 - 0.25) ** 2,
    ),
    "all ignored": Picture(Heads((1.0,), ignore_label=2), columns(2, 2, 2, 2), 2, 0.0, 0.0),
}


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("weight", [1.0, 10.0])
def test_both_terms_by_hand(name: str, weight: float) -> None:
    picture = PICTURES[name]
    loss = DoseGuidedLoss(BinaryCrossEntropy(picture.heads), weight)
    loss.dose_loss = AxialDoseLoss(
        AxialLayout.of([0, 1, 2], 2, 2), mean_of_the_row, picture.heads, RX, (3.0, 3.0), (3.0, 3.0)
    )
    with loss.context(torch.zeros(1, 1, 4, 4, dtype=torch.int16), torch.zeros(1, 1, 4, 4)):
        total = loss(picture.logits(), picture.truth)
    assert loss.terms["voxel"].item() == pytest.approx(picture.voxel, rel=1e-6, abs=1e-12)
    assert loss.terms["dose"].item() == pytest.approx(picture.dose, rel=1e-5, abs=1e-12)
    assert total.item() == pytest.approx(picture.voxel + weight * picture.dose, rel=1e-5, abs=1e-12)


MODES = {
    "two heads": (Heads((1.0,)), 2),
    "three labels": (Heads((0.8, 0.0, 1.0)), 4),
    "regions": (Heads((0.8, 1.0), regions=True), 2),
    "ignore": (Heads((1.0,), ignore_label=2), 2),
    "regions with ignore": (Heads((0.8, 1.0), regions=True, ignore_label=3), 2),
}
# size of the patch, order of its axes, axes of the predictor, spacing of the patch and of the predictor
GRIDS = {
    "2d": ((4, 4), [0, 1, 2], (3.0, 3.0), (3.0, 3.0)),
    "2d, coarser predictor": ((6, 8), [0, 1, 2], (2.0, 1.5), (4.0, 3.0)),
    "3d slice by slice": ((2, 4, 4), [0, 1, 2], (3.0, 3.0, 3.0), (3.0, 3.0)),
    "3d volumes": ((4, 4, 4), [0, 1, 2], (3.0, 3.0, 3.0), (3.0, 3.0, 3.0)),
    "sagittal, slice by slice": ((4, 2, 5), [2, 0, 1], (3.0, 3.0, 3.0), (3.0, 3.0)),
    "sagittal, volumes of other voxels": ((4, 5, 6), [2, 0, 1], (4.0, 2.0, 3.0), (3.0, 3.0, 3.0)),
}


def random_truth(heads: Heads, size: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Two images; where labels can be ignored, some voxels are."""
    if heads.regions:
        channels = len(heads.fractions) + (heads.ignore_label is not None)
        return torch.rand(2, channels, *size, generator=generator) > 0.6
    values = len(heads.fractions) + 1 + (heads.ignore_label is not None)
    return torch.randint(0, values, (2, 1, *size), generator=generator)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("grid", GRIDS)
def test_gradient_of_both_terms_is_that_of_finite_differences(mode: str, grid: str) -> None:
    (heads, outputs), (size, order, spacing_mm, predictor_mm) = MODES[mode], GRIDS[grid]
    dim = len(predictor_mm)
    predictor = random_network(dim=dim).double()
    loss = DoseGuidedLoss(BinaryCrossEntropy(heads), 10.0)
    layout = AxialLayout.of(order, len(size), dim)
    loss.dose_loss = AxialDoseLoss(layout, predictor, heads, RX, spacing_mm, predictor_mm)
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(2, outputs, *size, generator=generator, dtype=torch.float64, requires_grad=True)
    truth = random_truth(heads, size, generator)
    oars = torch.randint(0, 4, (2, 1, *size), generator=generator)
    ct_hu = 40 + 100 * torch.rand(2, 1, *size, generator=generator, dtype=torch.float64)

    def total(logits: Tensor) -> Tensor:
        with loss.context(oars, ct_hu):
            return loss(logits, truth)

    assert torch.autograd.gradcheck(total, (logits,), fast_mode=True)
    (gradient,) = torch.autograd.grad(10 * loss.dose_loss(logits, truth, oars, ct_hu), logits)
    assert gradient.abs().max() > 1e-6
    where = heads.valid(truth).expand_as(gradient)
    assert not gradient[~where].any()
