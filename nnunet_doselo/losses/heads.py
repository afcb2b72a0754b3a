"""How the network's output channels stand for labels, regions and an ignore label: nnU-Net's three kinds of truth."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor
from torch.nn import functional as F

from nnunet_doselo.predictor.inputs import at_least_single

Logits = Float[Tensor, "batch heads *space"]
Truth = Shaped[Tensor, "batch truths *space"]
"""One channel, a label map of whole numbers; or a channel of 0 and 1 for each region, and a last one for ignore."""
Foreground = Float[Tensor, "batch foreground *space"]
Valid = Bool[Tensor, "batch 1 *space"]


@dataclass(frozen=True)
class Heads:
    """What each foreground channel means.

    Parameters
    ----------
    fractions: prescribed dose / Rx of each foreground label or region, in channel order; 0 for what is no target.
    regions: True if channels are overlapping regions with a sigmoid each; False for softmax with background first.
    ignore_label: the label value left out of every term, or None. With regions the last truth channel marks it.
    """

    fractions: tuple[float, ...]
    regions: bool = False
    ignore_label: int | None = None

    def logits(self, output: Logits) -> Foreground:
        """Log odds of each foreground label against everything else; z1 - z0 where there are two channels."""
        if self.regions:
            return output
        channels = range(output.shape[1])
        against = [[c for c in channels if c != k] for k in channels[1:]]
        odds = [output[:, k] - output[:, rest].logsumexp(1) for k, rest in zip(channels[1:], against, strict=True)]
        return torch.stack(odds, dim=1)

    def probabilities(self, output: Logits) -> Foreground:
        """Probability of each foreground label or region, float32."""
        output = at_least_single(output)
        return output.sigmoid() if self.regions else output.softmax(1)[:, 1:]

    def decisions(self, output: Logits) -> Foreground:
        """What nnU-Net would write: 1 for the winning label, or for regions above one half."""
        if self.regions:
            return (output > 0).float()
        winner = output.argmax(1, keepdim=True)
        return torch.cat([(winner == k).float() for k in range(1, output.shape[1])], dim=1)

    def truth(self, truth: Truth) -> Foreground:
        """Truth of each foreground channel, 0 or 1; 0 in ignored voxels."""
        if self.regions:
            marked = truth[:, : len(self.fractions)].bool()
        else:
            marked = torch.cat([truth == k for k in range(1, len(self.fractions) + 1)], dim=1)
        return (marked & self.valid(truth)).float()

    def cross_entropy(self, output: Logits, truth: Truth) -> Float[Tensor, "batch 1 *space"]:
        """Of each voxel: softmax's against its label, or the sum over regions; 0 in ignored voxels."""
        output, marked = at_least_single(output), self.truth(truth)
        if self.regions:
            each = F.binary_cross_entropy_with_logits(output, marked, reduction="none").sum(1, keepdim=True)
        else:
            background = 1 - marked.sum(1, keepdim=True)
            each = -(torch.cat([background, marked], 1) * output.log_softmax(1)).sum(1, keepdim=True)
        return each * self.valid(truth)

    def valid(self, truth: Truth) -> Valid:
        """False in ignored voxels."""
        if self.ignore_label is None:
            return torch.ones_like(truth[:, :1], dtype=torch.bool)
        return ~truth[:, -1:].bool() if self.regions else truth[:, :1] != self.ignore_label

    def prescription(self, foreground: Foreground) -> Float[Tensor, "batch 1 *space"]:
        """Prescribed dose / Rx: the sum over labels, the highest among regions (which overlap)."""
        # factors stay on the host: a tensor of them, made anew each time, would wait for the GPU
        doses = torch.cat([foreground[:, k : k + 1] * fraction for k, fraction in enumerate(self.fractions)], dim=1)
        return doses.amax(1, keepdim=True) if self.regions else doses.sum(1, keepdim=True)
