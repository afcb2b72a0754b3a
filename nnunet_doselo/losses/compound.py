"""L_total = L_voxel + lambda * L_DSL (paper, eq. 4), behind the signature that nnU-Net's steps call."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from nnunet_doselo.losses.balance import GradientNorms
from nnunet_doselo.losses.dose_guidance import DoseSegmentationLoss


class DoseGuidedLoss(nn.Module):
    """The voxel loss on every output of deep supervision, the dose loss on the one of full resolution.

    nnU-Net's steps call `loss(output, truth)`; organs and CT of the batch are given around the call with `context`,
    and `terms` holds both terms of the last call. With a weight of 0 the dose term is measured, without gradient.

    norms: None, or where the norms of both terms' gradients on the logits of full resolution are summed up.
    """

    def __init__(self, voxel_loss: nn.Module, weight: float) -> None:
        super().__init__()
        self.voxel_loss = voxel_loss
        self.weight = weight
        self.dose_loss: DoseSegmentationLoss | None = None
        self.terms: dict[str, Tensor] = {}
        self.norms: GradientNorms | None = None
        self._context: tuple[Tensor, Tensor] | None = None

    @contextmanager
    def context(self, oars: Tensor, ct_hu: Tensor) -> Iterator[None]:
        """Organs (B, 1, *S) and CT (B, 1, *S) of the batch that is about to be judged."""
        self._context = (oars, ct_hu)
        try:
            yield
        finally:
            self._context = None

    def forward(self, output: Tensor | list[Tensor], truth: Tensor | list[Tensor]) -> Tensor:
        """Both terms of the network's output (B, C, *S) against the truth (B, 1, *S), or of lists of them by scale.

        Raises RuntimeError where the dose loss is not attached yet, or the batch's context was not given.
        """
        if self.dose_loss is None or self._context is None:
            raise RuntimeError("the dose loss must be attached and the batch's context given before a step")
        logits = _full_resolution(output)
        voxel = self.voxel_loss(output, truth)
        norms = self.norms if logits.requires_grad and torch.is_grad_enabled() else None
        with torch.set_grad_enabled(torch.is_grad_enabled() and (norms is not None or self.weight != 0)):
            dose = self.dose_loss(logits, _full_resolution(truth), *self._context)
        if norms is not None:
            norms.add(voxel, dose, logits)
        self.terms = {"voxel": voxel.detach(), "dose": dose.detach()}
        return voxel + self.weight * dose if self.weight != 0 else voxel


def _full_resolution(scales: Tensor | list[Tensor]) -> Tensor:
    return scales[0] if isinstance(scales, (list, tuple)) else scales
