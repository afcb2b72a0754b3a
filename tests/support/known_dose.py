"""A dose predictor whose dose can be written down, and what trainers must make of it, worked out with NumPy alone."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor, nn

from nnunet_doselo.dataset.guidance import DoseGuidance
from nnunet_doselo.predictor.artifact import save_predictor
from nnunet_doselo.predictor.card import AXES, PredictorCard


class LeaningDose(nn.Module):
    """Target summed along x, in volumes along z too, halved in organs and raised with HU: no turned image shares it."""

    def __init__(self, prescription_gy: float, dim: int) -> None:
        super().__init__()
        self.prescription_gy, self.dim = prescription_gy, dim

    def forward(self, target: Tensor, oars: Tensor, ct: Tensor) -> Tensor:
        dose = target.cumsum(-1) / target.size(-1)
        if self.dim == 3:
            dose = dose.cumsum(2) / target.size(2)
        return self.prescription_gy * dose * (1 - 0.5 * (oars > 0).float()) * (1 + ct / 2000)


def save_known_dose(path: Path, guidance: DoseGuidance, spacing_mm: Sequence[float]) -> Path:
    """As an artifact for voxels of this spacing, (y, x) or (z, y, x)."""
    dim = len(spacing_mm)
    spacing = tuple(float(mm) for mm in spacing_mm)
    what = spacing, guidance.oars, guidance.target_gy, (-1000.0, 1500.0), (4,), (4,), "", {}, {}
    card = PredictorCard(*what, axes=AXES[dim])
    return save_predictor(LeaningDose(guidance.prescription_gy, dim), card, path)  # type: ignore[arg-type]


def known_dose(target: np.ndarray, oars: np.ndarray, ct_hu: np.ndarray, dim: int) -> np.ndarray:
    """The same in units of Rx for (B, 1, Z, Y, X), or for (B, 1, Y, X) with `dim` 2."""
    dose = np.cumsum(target, axis=-1) / target.shape[-1]
    if dim == 3:
        dose = np.cumsum(dose, axis=2) / target.shape[2]
    return dose * np.where(oars > 0, 0.5, 1.0) * (1 + ct_hu / 2000)


class ByHand:
    """Both terms for labels or regions whose channels carry `fractions` of the prescription."""

    def __init__(self, fractions: Sequence[float], *, regions: bool = False, ignored: int | None = None) -> None:
        self.fractions, self.regions, self.ignored = np.array(fractions), regions, ignored

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """(B, C, *S) of each foreground channel."""
        if self.regions:
            return 1 / (1 + np.exp(-logits))
        odds = np.exp(logits - logits.max(1, keepdims=True))
        return (odds / odds.sum(1, keepdims=True))[:, 1:]

    def decisions(self, logits: np.ndarray) -> np.ndarray:
        """(B, C, *S), 1 where nnU-Net would write the channel's label."""
        if self.regions:
            return (logits > 0) * 1.0
        winner = logits.argmax(1, keepdims=True)
        return np.concatenate([winner == k + 1 for k in range(len(self.fractions))], axis=1) * 1.0

    def truth(self, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Each channel's truth, and where it counts (B, 1, *S)."""
        if self.regions:
            counts = np.ones_like(truth[:, :1], bool) if self.ignored is None else ~truth[:, -1:].astype(bool)
            return truth[:, : len(self.fractions)] * counts, counts
        counts = truth != self.ignored if self.ignored is not None else np.ones_like(truth, bool)
        return np.concatenate([truth == k + 1 for k in range(len(self.fractions))], axis=1) * 1.0, counts

    def voxel_loss(self, logits: np.ndarray, truth: np.ndarray) -> float:
        p, (true, counts) = self.probabilities(logits.astype(np.float64)), self.truth(truth)
        each = -np.where(true > 0, np.log(p), np.log1p(-p))
        return float((each * counts).sum() / (counts.sum() * len(self.fractions)))

    def target(self, foreground: np.ndarray) -> np.ndarray:
        doses = foreground * self.fractions.reshape(1, -1, *[1] * (foreground.ndim - 2))
        return doses.max(1, keepdims=True) if self.regions else doses.sum(1, keepdims=True)

    def dose_term(
        self,
        logits: np.ndarray,
        truth: np.ndarray,
        oars: np.ndarray,
        ct_hu: np.ndarray,
        axial: Sequence[int],
        dim: int,
        *,
        hard: bool = False,
    ) -> float:
        """axial: the axes of the patch that hold (z), y and x, as a person reads them off the plans.

        hard: of the network's decisions.
        """
        true, counts = self.truth(truth)
        reference = self.target(true)
        drawn = self.decisions(logits) if hard else self.probabilities(logits.astype(np.float64))
        evaluated = np.where(counts, self.target(drawn), reference)
        order = (0, 1, *(axis + 2 for axis in axial))
        reference, evaluated, oars, ct_hu, counts = (
            a.transpose(order) for a in (reference, evaluated, oars, ct_hu, counts)
        )
        doses = [known_dose(target, oars, ct_hu.astype(np.float64), dim) for target in (reference, evaluated)]
        return float(np.mean((doses[0] - doses[1])[counts] ** 2))


def deep_supervision_weights(outputs: int) -> np.ndarray:
    """nnU-Net's: halved from scale to scale, the coarsest left out."""
    weights = np.array([0.5**i for i in range(outputs - 1)] + [0.0])
    return weights / weights.sum()
