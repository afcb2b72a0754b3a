"""nnU-Net's patches as the dose predictor wants them: axial volumes, or a volume's axial slices as one batch.

nnU-Net puts the axis of largest spacing first and calls the order `transpose_forward`. Before a dose is asked for, the
patch is turned back, on its device and differentiably; resampling and skipping then work on axial images alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped
from torch import Tensor

from nnunet_doselo.losses.dose_guidance import DoseSegmentationLoss
from nnunet_doselo.losses.heads import Heads, Logits, Truth
from nnunet_doselo.losses.in_parts import Predictor


@dataclass(frozen=True)
class AxialLayout:
    """Where the patient's axes lie in nnU-Net's patches, and how many of them the predictor takes.

    order: the patch's axis that holds z, y and x of the patient; y and x for patches that are slices.
    dim: 3 for a predictor of volumes, 2 for one of slices, which takes a volume slice by slice.
    """

    order: tuple[int, ...]
    dim: int

    @classmethod
    def of(cls, transpose_forward: Sequence[int], patch_dim: int, predictor_dim: int) -> "AxialLayout":
        """For plans with this order of axes; patches of two axes must be axial slices (`transpose_forward` 0 first)."""
        dropped = 3 - patch_dim
        backward = np.argsort(transpose_forward)[dropped:] - dropped
        return cls(tuple(int(axis) for axis in backward), predictor_dim)

    def spacing(self, spacing_mm: Sequence[float]) -> tuple[float, ...]:
        """Spacing of the patch, in its own order -> of the axes that the predictor takes, (z, y, x) or (y, x)."""
        return tuple(spacing_mm[axis] for axis in self.order)[-self.dim :]

    def arrange(self, patch: Shaped[Tensor, "batch channels *space"]) -> Shaped[Tensor, "images channels *plane"]:
        """(B, C, *S) -> (B, C, Y, X), (B, C, Z, Y, X), or (B * Z, C, Y, X) for a volume slice by slice."""
        axial = patch.permute(0, 1, *(axis + 2 for axis in self.order))
        if len(self.order) == self.dim:
            return axial
        return axial.transpose(1, 2).flatten(0, 1)  # (B, Z, C, Y, X) -> (B * Z, C, Y, X)


class AxialDoseLoss(DoseSegmentationLoss):
    """L_DSL of patches on any grid that nnU-Net plans; the mean over voxels does not mind their order.

    Parameters
    ----------
    layout: of the network's patches.
    spacing_mm: of the network's patches, in their own order of axes.
    predictor_spacing_mm: (z, y, x) or (y, x), as many as the predictor has axes.
    The others are those of `DoseSegmentationLoss`.
    """

    def __init__(
        self,
        layout: AxialLayout,
        predictor: Predictor,
        heads: Heads,
        prescription_gy: float,
        spacing_mm: Sequence[float],
        predictor_spacing_mm: Sequence[float],
        **options: Any,
    ) -> None:
        axial_mm = layout.spacing(spacing_mm)
        super().__init__(predictor, heads, prescription_gy, axial_mm, predictor_spacing_mm, **options)
        self.layout = layout

    def forward(
        self,
        output: Logits,
        truth: Truth,
        oars: Shaped[Tensor, "batch 1 *space"],
        ct_hu: Float[Tensor, "batch 1 *space"],
    ) -> Float[Tensor, ""]:
        """All arguments on the network's grid, (B, C, *S)."""
        return super().forward(*(self.layout.arrange(x) for x in (output, truth, oars, ct_hu)))
