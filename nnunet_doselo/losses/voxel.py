"""The voxel term of the paper's loss (eq. 4), binary cross-entropy on the target; and that of its baseline."""

from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from nnunet_doselo.losses.heads import Foreground, Heads, Logits, Truth, Valid
from nnunet_doselo.predictor.inputs import at_least_single


def binary_cross_entropy(logits: Foreground, truth: Foreground, valid: Valid) -> Float[Tensor, ""]:
    """Mean over foreground channels and valid voxels; 0 where every voxel is ignored.

    Where processes share a batch, each takes the mean over its own valid voxels, as in nnU-Net's cross-entropy: with an
    ignore label that is not quite the mean over the whole batch.
    """
    logits = at_least_single(logits)
    each = F.binary_cross_entropy_with_logits(logits, truth.to(logits.dtype), reduction="none")
    return (each * valid).sum() / (valid.sum() * logits.shape[1]).clamp_min(1)


class BinaryCrossEntropy(nn.Module):
    """`binary_cross_entropy` on nnU-Net's output and truth; several labels count one against the rest."""

    def __init__(self, heads: Heads) -> None:
        super().__init__()
        self.heads = heads

    def forward(self, output: Logits, truth: Truth) -> Float[Tensor, ""]:
        """Of logits (B, C, *S) against the truth (B, 1 or more, *S); 0 where every voxel is ignored."""
        return binary_cross_entropy(self.heads.logits(output), self.heads.truth(truth), self.heads.valid(truth))


class BinaryCrossEntropyAndDice(nn.Module):
    """The paper's baseline: binary cross-entropy plus soft Dice, both with weight 1.

    `nnunet_loss` is nnU-Net's compound of Dice and a cross-entropy; it keeps the Dice alone, ignore label and all.
    """

    def __init__(self, heads: Heads, nnunet_loss: nn.Module) -> None:
        super().__init__()
        self.cross_entropy = BinaryCrossEntropy(heads)
        self.dice = nnunet_loss
        self.dice.weight_ce = 0  # type: ignore[assignment]

    def forward(self, output: Logits, truth: Truth) -> Float[Tensor, ""]:
        """The sum of both for logits (B, C, *S) against the truth (B, 1 or more, *S)."""
        return self.cross_entropy(output, truth) + self.dice(output, truth)


def make_voxel_loss(kind: Literal["nnunet", "bce", "bce_dice"], nnunet_loss: nn.Module, heads: Heads) -> nn.Module:
    """The loss of one output of the network; `nnunet_loss` is what nnU-Net would take."""
    if kind == "nnunet":
        return nnunet_loss
    return BinaryCrossEntropy(heads) if kind == "bce" else BinaryCrossEntropyAndDice(heads, nnunet_loss)
