"""The squared dose difference of a batch and its gradient, worked out a few samples at a time.

The predictor treats each sample on its own (its normalisation is frozen), so the result is that of the whole batch.
The gradient on the contours is taken at once, part by part, and kept until the backward pass asks for it: the
predictor's activations of one part are all that is ever held beside the segmentation network's.
"""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor
from torch.autograd.function import once_differentiable

Image = Float[Tensor, "batch 1 *space"]
Predictor = Callable[[Tensor, Tensor, Tensor], Tensor]

# by powers of two, so that single precision is not touched: half precision loses gradients below 6e-8, and those of a
# mean over a batch's voxels begin at 1e-6
HALF_PRECISION_SCALE = 256.0


def sum_of_squares(
    predictor: Predictor,
    reference: Image,
    evaluated: Image,
    oars: Shaped[Tensor, "batch 1 *space"],
    ct_hu: Image,
    prescription_gy: float,
    parts: list[Tensor] | list[slice],
) -> Float[Tensor, ""]:
    """Sum over voxels of the samples in `parts` of ((D(reference) - D(evaluated)) / Rx)^2; 0 without parts.

    Differentiable once, in `evaluated`. parts: each the indices (n,), int64, of some samples, or a slice of the batch.
    """
    total = evaluated.new_zeros(())
    wanted = torch.is_grad_enabled() and evaluated.requires_grad
    gradient = torch.zeros_like(evaluated) if wanted else None
    for part in parts:
        with torch.no_grad():
            reference_gy = predictor(reference[part], oars[part], ct_hu[part])
        contour = evaluated.detach()[part].requires_grad_(wanted)
        difference = (reference_gy - predictor(contour, oars[part], ct_hu[part])) / prescription_gy
        squares = difference.square().sum()
        total = total + squares.detach()
        if gradient is not None:
            gradient[part] = _gradient(squares, contour)
    return _WithGradient.apply(evaluated, total, gradient) if gradient is not None else total


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


def _gradient(squares: Tensor, contour: Tensor) -> Tensor:
    with torch.autocast(contour.device.type, enabled=False):  # as nnU-Net does: autocast is for the forward pass
        (scaled,) = torch.autograd.grad(squares * HALF_PRECISION_SCALE, contour)
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
