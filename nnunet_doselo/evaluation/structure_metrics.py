"""What a dose does in one structure: the figures of its DVH, and how well a target is wrapped.

Structures are the reference's, so both doses are read in the same voxels; a structure without voxels has NaN alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .dvh import DVH, homogeneity, paddick_conformity
from .metrics import Metric

ISODOSE = 0.95
"""Share of the prescription that conformity and coverage ask for: ICRU Report 50."""
V_PERCENTS = (50, 95, 107)
FIGURES = {
    "dmean_gy": ("Dmean", "Gy", 1),
    "d98_gy": ("D98", "Gy", 1),
    "d95_gy": ("D95", "Gy", 1),
    "d50_gy": ("D50", "Gy", 1),
    "d2_gy": ("D2", "Gy", 1),
    "d0.1cc_gy": ("D0.1cc", "Gy", 1),
    **{f"v{percent}_percent": (f"V{percent}", "%", 1) for percent in V_PERCENTS},
    "conformity": ("conformity", "", 3),
    "homogeneity": ("homogeneity", "", 3),
}
"""Title, unit and digits by key. V95 is the share of the structure that gets 95 % of its prescription (organs: of Rx);
conformity is Paddick's at that isodose, homogeneity ICRU 83's."""


@dataclass(frozen=True)
class StructureFigures:
    """One structure in both doses: values by key of `FIGURES`; conformity and homogeneity of targets alone."""

    reference: Mapping[str, float]
    evaluated: Mapping[str, float]

    def errors(self) -> dict[str, float]:
        """Absolute difference of every figure; NaN where one of them is."""
        return {key: abs(self.evaluated[key] - value) for key, value in self.reference.items()}


def dvh_figures(dvh: DVH, prescription_gy: float) -> dict[str, float]:
    """The doses of `DVH.figures`, and the shares of the volume that get 50, 95 and 107 % of the prescription.

    prescription_gy: of the target, or Rx for an organ.
    """
    doses_gy = {name: value for name, value in dvh.figures().items() if name in FIGURES}
    shares = {
        f"v{percent}_percent": 100 * dvh.volume_at_dose(percent / 100 * prescription_gy) for percent in V_PERCENTS
    }
    return doses_gy | shares


def target_figures(
    dvh: DVH, dose_gy: np.ndarray, targets: Sequence[tuple[float, np.ndarray]], prescription_gy: float
) -> dict[str, float]:
    """Conformity and homogeneity of a target.

    Parameters
    ----------
    dvh: of the target in `dose_gy`, (Z, Y, X) in Gy.
    targets: prescribed Gy and mask (Z, Y, X) of every target, this one too: its isodose wraps the boosts as well.
    prescription_gy: of this target.
    """
    whole = np.logical_or.reduce([mask for gy, mask in targets if gy >= prescription_gy])
    return {
        "conformity": paddick_conformity(dose_gy, whole, ISODOSE * prescription_gy),
        "homogeneity": homogeneity(dvh),
    }


def error_metric(structure: str, figure: str) -> Metric:
    """How the error of one figure of one structure is listed."""
    title, unit, digits = FIGURES[figure]
    meaning = f"absolute difference of {title} in {structure} between both doses"
    return Metric(f"{structure}_{figure}", f"{structure} {title}, error", unit, "lower", meaning, digits)
