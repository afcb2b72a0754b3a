"""The dose segmentation loss L_DSL (paper, eqs. 1-3): what a contour's mistakes would do to the dose.

The gradient runs from the dose of the network's contour, through the frozen predictor, to the logits.
"""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.nn import functional as F

from nnunet_doselo.losses.forms import (
    DISTANT_MM,
    PAPERS_FORM,
    DoseForm,
    beyond_margin,
    distant_from,
    relative_error,
    squared_error,
)
from nnunet_doselo.losses.heads import Foreground, Heads, Logits, Truth
from nnunet_doselo.losses.in_parts import (
    ALL_THE_WAY,
    AT_THE_END,
    GuidedBatch,
    Image,
    Path,
    Predictor,
    parts_of,
    parts_that_differ,
    sum_of_errors,
)
from nnunet_doselo.predictor.resampling import resample_dose, resample_inputs, size_on

AGREE_TO = 1e-5
"""Contours (prescribed dose / Rx) that are nowhere further apart count as one; see `DoseSegmentationLoss`."""
VOXELS_AT_ONCE = {"cpu": 2**16, "cuda": 2**17}
"""Of the predictor's grid: 4 and 8 slices of 128 x 128."""
MOST_PARTS = 8
"""More would leave a GPU waiting for work: a plan of small slices may hold hundreds in a batch."""


def dose_segmentation_loss(reference_gy: Image, evaluated_gy: Image, prescription_gy: float) -> Float[Tensor, ""]:
    """Mean over voxels of ((reference - evaluated) / Rx)^2 (eq. 1, in units that mean the same for every Rx).

    >>> import torch
    >>> from nnunet_doselo import dose_segmentation_loss
    >>> reference_gy = torch.full((1, 1, 2, 2), 60.0)
    >>> evaluated_gy = torch.tensor([[[[60.0, 60.0], [60.0, 54.0]]]])  # 10 % too little in one of four voxels
    >>> loss = dose_segmentation_loss(reference_gy, evaluated_gy, prescription_gy=60.0)
    >>> round(loss.item(), 6)
    0.0025

    reference_gy, evaluated_gy: (B, 1, *S), Gy. The gradient runs to whatever made either of them.
    """
    return squared_error(reference_gy, evaluated_gy, prescription_gy).mean()


def straight_through(probabilities: Foreground, decisions: Foreground) -> Foreground:
    """The decisions going forward, the gradient of the probabilities coming back (Bengio et al., arXiv:1308.3432)."""
    return decisions + (probabilities - probabilities.detach())


class DoseSegmentationLoss(nn.Module):
    """L_DSL of a batch, on the predictor's own grid.

    Samples whose two contours agree are not shown to the predictor. With `hard` that is exact: equal contours have
    equal doses, and the gradient of a square is 0 where it is 0. With soft contours a sample is left out when the
    contours differ by at most `agree_to` = e in each voxel. Let a voxel's dose / Rx depend on all of the target by a
    in sum, and a voxel of the target move all of the dose by b in sum (a = b = 1 for a target smeared by a kernel of
    sum 1). Then such a sample would add at most (a e)^2 to its mean, and its gradient on a logit is at most 2 lambda a
    b e times that of binary cross-entropy on the same output. A predictor trained on OpenKBP had a up to 18 and b up to
    56 where sampled in slices without target: 2 % of the voxel term's gradient with `AGREE_TO`, but twice that gradient
    with 1e-3. Faint doubt that is spread over a slice is no reason to leave it out.

    Parameters
    ----------
    predictor: (target, oars, ct) -> dose in Gy, each (B, 1, *S); frozen, differentiable in its first argument.
    heads: what the network's channels mean.
    prescription_gy: Rx.
    spacing_mm: of the network's grid, and of the predictor's; where they differ, inputs are resampled.
    hard: show the predictor the network's decisions (straight-through) rather than its probabilities.
    form: which error counts, where it acts and how it pulls.
    agree_to: see above; None shows every sample. "auto" is `AGREE_TO` on a CPU and None on a GPU, where finding out
        makes the host wait for the network's output.
    voxels_at_once: of the predictor's grid, how many it is given together (at least one sample); None:
        `VOXELS_AT_ONCE`, but at most `MOST_PARTS` parts a batch.
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
        form: DoseForm = PAPERS_FORM,
        agree_to: float | Literal["auto"] | None = "auto",
        voxels_at_once: int | None = None,
    ) -> None:
        super().__init__()
        self.predictor = predictor
        self.heads = heads
        self.prescription_gy = prescription_gy
        self.spacing_mm = tuple(spacing_mm)
        self.predictor_spacing_mm = tuple(predictor_spacing_mm)
        self.hard = hard
        self.form = form
        self.agree_to = agree_to
        self.voxels_at_once = voxels_at_once

    def forward(
        self, output: Logits, truth: Truth, oars: Shaped[Tensor, "batch 1 *space"], ct_hu: Image
    ) -> Float[Tensor, ""]:
        """0 for a perfect contour.

        Ignored voxels hold the truth's (empty) target in both contours and do not count.
        """
        contour, valid = self._contour(output), self.heads.valid(truth)
        reference = self.heads.prescription(self.heads.truth(truth)).to(contour.dtype)
        evaluated = torch.where(valid, contour, reference)
        if self.form.pull == "gradient":
            return self._error(reference, self._where_it_acts(reference, evaluated), oars, ct_hu, valid)
        error, weight = self._weighed(reference, evaluated.detach(), oars, ct_hu, valid)
        weight = self._where_it_acts(reference, weight)
        pull = (weight * self.heads.cross_entropy(output, truth)).sum()
        return error + pull - pull.detach()

    def _where_it_acts(self, reference: Image, image: Image) -> Image:
        """Without gradient where the form does not act."""
        if not self.form.distant:
            return image
        distant = distant_from(reference, self.spacing_mm, DISTANT_MM)
        return torch.where(distant, image, image.detach() if self.form.pull == "gradient" else 0)

    def _weighed(
        self, reference: Image, evaluated: Image, oars: Tensor, ct_hu: Image, valid: Tensor
    ) -> tuple[Float[Tensor, ""], Image]:
        """The error, and each voxel's weight: its share in that error, none where it lowers it; or one for all."""
        if self.form.pull == "constant" or not torch.is_grad_enabled():
            with torch.no_grad():
                error = self._error(reference, evaluated, oars, ct_hu, valid)
            return error, valid / valid.sum().clamp_min(1)
        evaluated.requires_grad_()
        error = self._error(reference, evaluated, oars, ct_hu, valid, ALL_THE_WAY)
        (gradient,) = torch.autograd.grad(error, evaluated)
        return error.detach(), (gradient * (evaluated.detach() - reference)).clamp_min(0)

    def _error(
        self, reference: Image, evaluated: Image, oars: Tensor, ct_hu: Image, valid: Tensor, path: Path = AT_THE_END
    ) -> Float[Tensor, ""]:
        """Mean error of the dose over the valid voxels of the predictor's grid."""
        size = size_on(self.predictor_spacing_mm, evaluated.shape[2:], self.spacing_mm)
        counted = F.interpolate(valid.to(evaluated.dtype), size=size, mode="nearest-exact")
        reference, oars, ct_hu = resample_inputs(reference, oars, ct_hu, size)
        batch = GuidedBatch(reference, resample_dose(evaluated, size), oars, ct_hu, counted)
        parts = self._parts(batch.reference, batch.evaluated)
        return sum_of_errors(self.predictor, batch, self._voxel_error, parts, path) / counted.sum().clamp_min(1)

    def _voxel_error(self, reference_gy: Image, evaluated_gy: Image) -> Image:
        if self.form.margin:
            evaluated_gy = beyond_margin(reference_gy, evaluated_gy, self.form.margin * self.prescription_gy)
        error = squared_error if self.form.error == "squared" else relative_error
        return error(reference_gy, evaluated_gy, self.prescription_gy)

    def _contour(self, output: Logits) -> Image:
        foreground = self.heads.probabilities(output)
        if self.hard:
            foreground = straight_through(foreground, self.heads.decisions(output))
        return self.heads.prescription(foreground)

    def _parts(self, reference: Image, evaluated: Image) -> list[Tensor] | list[slice]:
        """Which samples the predictor is shown, and which of them together."""
        at_once, agree_to = self._samples_at_once(evaluated), self.agree_to
        if agree_to == "auto":
            agree_to = AGREE_TO if evaluated.device.type == "cpu" else None
        if agree_to is None:
            return parts_of(len(evaluated), at_once)
        return parts_that_differ(reference, evaluated, agree_to, at_once)

    def _samples_at_once(self, evaluated: Image) -> int:
        voxels = math.prod(evaluated.shape[2:])
        if self.voxels_at_once is not None:
            return max(1, self.voxels_at_once // voxels)
        usual = VOXELS_AT_ONCE["cpu" if evaluated.device.type == "cpu" else "cuda"]
        return max(1, usual // voxels, -(-len(evaluated) // MOST_PARTS))
