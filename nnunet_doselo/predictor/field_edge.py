"""Dose above and below a slice: what a predictor of slices cannot know, because it sees one at a time.

A field that covers the target ends some millimetres beyond its last slice, and not sharply. So each slice passes its
dose on to its neighbours, weakened as the edge of a field is: a Gaussian penumbra around a margin. Where several slices
reach a voxel, and where it has a dose of its own, the highest counts. Both numbers are fitted on patients when a
predictor is trained, and stand on its card.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

NEGLIGIBLE = 0.01
"""Share of a slice's dose below which nothing is passed on."""


@dataclass(frozen=True)
class FieldEdge:
    """margin_mm: from a slice to where half of its dose is left. penumbra_mm: standard deviation of the fall-off."""

    margin_mm: float
    penumbra_mm: float

    def share(self, distance_mm: float) -> float:
        """Of a slice's dose, at a distance along z: the integral of a Gaussian, 0.5 at the margin."""
        return 0.5 * math.erfc((distance_mm - self.margin_mm) / (math.sqrt(2) * self.penumbra_mm))


def beyond_slices(dose: Tensor, slice_mm: float, edge: FieldEdge) -> Tensor:
    """(Z, ...) dose, predicted slice by slice, to the same with what each slice passes on; differentiable.

    slice_mm: distance of the slices. A single slice stays as it is.
    """
    passed_on = dose
    for steps in range(1, dose.shape[0]):
        share = edge.share(steps * slice_mm)
        if share < NEGLIGIBLE:
            break
        above, below = torch.zeros_like(dose), torch.zeros_like(dose)
        above[steps:], below[:-steps] = dose[:-steps], dose[steps:]
        passed_on = torch.maximum(passed_on, share * torch.maximum(above, below))
    return passed_on
