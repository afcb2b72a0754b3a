"""The dose segmentation loss L_DSL (paper, eqs. 1-3): what a contour's mistakes would do to the dose.

The gradient runs from the dose of the network's contour, through the frozen predictor, to the logits.
"""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from nnunet_doselo.losses.heads import Foreground, Heads, Logits, Truth
from nnunet_doselo.predictor.resampling import resample_inputs, size_on

Image = Float[Tensor, "batch 1 *space"]
Predictor = Callable[[Tensor, Tensor, Tensor], Tensor]


def dose_segmentation_loss(reference_gy: Image, evaluated_gy: Image, prescription_gy: float) -> Float[Tensor, ""]:
    """Mean over voxels of ((reference - evaluated) / Rx)^2 (eq. 1, in units that mean the same for every Rx)."""
    return ((reference_gy - evaluated_gy) / prescription_gy).square().mean()


def straight_through(probabilities: Foreground, decisions: Foreground) -> Foreground:
    """The decisions going forward, the gradient of the probabilities coming back (Bengio et al., arXiv:1308.3432)."""
    return decisions + probabilities - probabilities.detach()


class DoseSegmentationLoss(nn.Module):
    """L_DSL of a batch, on the predictor's own grid.

    Parameters
    ----------
    predictor: (target, oars, ct) -> dose in Gy, each (B, 1, *S); frozen, differentiable in its first argument.
    heads: what the network's channels mean.
    prescription_gy: Rx.
    spacing_mm: of the network's grid, and of the predictor's; where they differ, inputs are resampled.
    hard: show the predictor the network's decisions (straight-through) rather than its probabilities.
    """

    def __init__(
        self,
        predictor: Predictor,
        heads: Heads,
        prescription_gy: float,
        spacing_mm: Sequence[float],
        predictor_spacing_mm: Sequence[float],
        *,
        hard: bool = False,
    ) -> None:
        super().__init__()
        self.predictor = predictor
        self.heads = heads
        self.prescription_gy = prescription_gy
        self.spacing_mm = tuple(spacing_mm)
        self.predictor_spacing_mm = tuple(predictor_spacing_mm)
        self.hard = hard

    def forward(
        self, output: Logits, truth: Truth, oars: Shaped[Tensor, "batch 1 *space"], ct_hu: Image
    ) -> Float[Tensor, ""]:
        """0 for a perfect contour. Ignored voxels hold the truth's (empty) target in both contours."""
        contour = self._contour(output)
        reference = self.heads.prescription(self.heads.truth(truth)).to(contour.dtype)
        evaluated = torch.where(self.heads.valid(truth), contour, reference)
        size = size_on(self.predictor_spacing_mm, output.shape[2:], self.spacing_mm)
        with torch.no_grad():
            reference_gy = self.predictor(*resample_inputs(reference, oars, ct_hu, size))
        evaluated_gy = self.predictor(*resample_inputs(evaluated, oars, ct_hu, size))
        return dose_segmentation_loss(reference_gy, evaluated_gy, self.prescription_gy)

    def _contour(self, output: Logits) -> Image:
        foreground = self.heads.probabilities(output)
        if self.hard:
            foreground = straight_through(foreground, self.heads.decisions(output))
        return self.heads.prescription(foreground)
