"""The dose error of a batch and how it pulls at the contour, worked out a few samples at a time.

The predictor treats each sample on its own (its normalisation is frozen), so the result is that of the whole batch.
The gradient on the contours is taken at once, part by part, and kept until the backward pass asks for it: the
predictor's activations of one part are all that is ever held beside the segmentation network's.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor
from torch.autograd.function import once_differentiable

Image = Float[Tensor, "batch 1 *space"]
Predictor = Callable[[Tensor, Tensor, Tensor], Tensor]
VoxelError = Callable[[Image, Image], Image]
"""Reference and evaluated dose, Gy, to the error of each voxel; without unit."""

# by powers of two, so that single precision is not touched: half precision loses gradients below 6e-8, and those of a
# mean over a batch's voxels begin at 1e-6
HALF_PRECISION_SCALE = 256.0

Path = Sequence[tuple[float, float]]
"""Places between the true contour (0) and the network's (1), the last of them 1, each with its weight."""
AT_THE_END: Path = ((1.0, 1.0),)
"""The gradient at the network's contour."""
ALL_THE_WAY: Path = (
    (0.15505102572168219, 0.37640306270046725),
    (0.6449489742783178, 0.5124858261884216),
    (1.0, 0.1111111111111111),
)
"""The mean gradient between both contours: Radau's three points, exact for polynomials up to degree four."""


@dataclass(frozen=True)
class GuidedBatch:
    """What the predictor is shown, and which voxels of its dose count; each (B, 1, *S), on the predictor's grid.

    reference, evaluated: prescribed dose / Rx of the true contour and of the network's.
    oars: integer organ labels. ct_hu: HU. counted: 1 where the dose error counts, 0 in ignored voxels.
    """

    reference: Image
    evaluated: Image
    oars: Shaped[Tensor, "batch 1 *space"]
    ct_hu: Image
    counted: Image

    def __getitem__(self, part: Tensor | slice) -> "GuidedBatch":
        """Some of its samples; of the network's contour without its gradient."""
        return GuidedBatch(
            self.reference[part],
            self.evaluated.detach()[part],
            self.oars[part],
            self.ct_hu[part],
            self.counted[part],
        )


def sum_of_errors(
    predictor: Predictor,
    batch: GuidedBatch,
    error: VoxelError,
    parts: list[Tensor] | list[slice],
    path: Path = AT_THE_END,
) -> Float[Tensor, ""]:
    """Sum of `error` over counted voxels of the samples in `parts`; 0 without parts.

    Differentiable once, in `batch.evaluated`: the gradient is the weighted mean of those along the `path`. With
    `ALL_THE_WAY` it gives each voxel's part in the error, once multiplied by what the contours differ there by: the
    parts sum to the error (Aumann and Shapley's shares; completeness of Sundararajan et al., arXiv:1703.01365).

    parts: each the indices (n,), int64, of some samples, or a slice of the batch.
    """
    total = batch.evaluated.new_zeros(())
    wanted = torch.is_grad_enabled() and batch.evaluated.requires_grad
    gradient = torch.zeros_like(batch.evaluated) if wanted else None
    for part in parts:
        shown = batch[part]
        with torch.no_grad():
            reference_gy = predictor(shown.reference, shown.oars, shown.ct_hu)
        for place, weight in path if wanted else AT_THE_END:
            contour = torch.lerp(shown.reference, shown.evaluated, place).requires_grad_(wanted)
            dose_gy = predictor(contour, shown.oars, shown.ct_hu)
            errors = (error(reference_gy, dose_gy) * shown.counted).sum()
            if gradient is not None:
                gradient[part] += weight * _gradient(errors, contour)
        total = total + errors.detach()
    return _WithGradient.apply(batch.evaluated, total, gradient) if gradient is not None else total


def parts_of(batch: int, at_most: int) -> list[slice]:
    """The batch in as few parts as can be of `at_most` samples, of one size but perhaps for the last; 0 has none."""
    if batch == 0:
        return []
    count = -(-batch // at_most)
    size = -(-batch // count)
    return [slice(start, min(start + size, batch)) for start in range(0, batch, size)]


def parts_that_differ(
    reference: Image, evaluated: Image, by_more_than: float, at_most: int
) -> list[Int[Tensor, " part"]]:
    """Of the samples whose contours differ somewhere by more than that, up to `at_most` indices at a time.

    Waits for the GPU, if the contours are on one. Contours that are not numbers count as different.
    """
    largest = (evaluated.detach() - reference).abs().flatten(1).amax(1)
    (samples,) = (~(largest <= by_more_than)).nonzero(as_tuple=True)
    return [samples[part] for part in parts_of(len(samples), at_most)]


def _gradient(errors: Tensor, contour: Tensor) -> Tensor:
    with torch.autocast(contour.device.type, enabled=False):  # as nnU-Net does: autocast is for the forward pass
        (scaled,) = torch.autograd.grad(errors * HALF_PRECISION_SCALE, contour)
    return scaled / HALF_PRECISION_SCALE


class _WithGradient(torch.autograd.Function):
    """A value whose gradient is known already."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, value: Tensor, gradient: Tensor) -> Tensor:
        ctx.save_for_backward(gradient)
        return value.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return upstream * gradient, None, None
