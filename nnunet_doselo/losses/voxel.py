"""Binary cross-entropy on the target: the voxel term of the paper's loss (eq. 4)."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from nnunet_doselo.losses.heads import Foreground, Heads, Logits, Truth, Valid
from nnunet_doselo.predictor.inputs import at_least_single


def binary_cross_entropy(logits: Foreground, truth: Foreground, valid: Valid) -> Float[Tensor, ""]:
    """Mean over foreground channels and valid voxels; 0 where every voxel is ignored."""
    logits = at_least_single(logits)
    each = F.binary_cross_entropy_with_logits(logits, truth.to(logits.dtype), reduction="none")
    return (each * valid).sum() / (valid.sum() * logits.shape[1]).clamp_min(1)


class BinaryCrossEntropy(nn.Module):
    """`binary_cross_entropy` on nnU-Net's output and truth; several labels count one against the rest."""

    def __init__(self, heads: Heads) -> None:
        super().__init__()
        self.heads = heads

    def forward(self, output: Logits, truth: Truth) -> Float[Tensor, ""]:
        return binary_cross_entropy(self.heads.logits(output), self.heads.truth(truth), self.heads.valid(truth))
