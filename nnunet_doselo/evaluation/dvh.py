"""Dose-volume histogram of one structure, read off its sorted voxels: no bins, no interpolation.

V_x is the fraction of the structure that receives at least x Gy. D_v is its inverse: the largest dose that at least
the fraction v receives, which is the minimum dose to the hottest fraction v. Of n voxels it is the dose of the
ceil(v n)-th hottest one, so it always is a dose that a voxel has, and V(D_v) >= v. A percentile as NumPy interpolates
it lies within the two voxels next to it; OpenKBP counts that way (`openkbp_scores`).
"""

import math
from dataclasses import dataclass

import numpy as np

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset.geometry import require_same_shape

# 0.07 * 100 is 7.000000000000001 in floating point, and must not become 8 voxels
VOXEL_TOLERANCE = 1e-12


@dataclass(frozen=True, eq=False)
class DVH:
    """doses_gy: (n,) float64, one a voxel, ascending, read-only. voxel_cc: volume of a voxel.

    >>> import numpy as np
    >>> from nnunet_doselo import DVH
    >>> dose_gy = np.arange(1.0, 101.0).reshape(4, 5, 5)  # 1 to 100 Gy in a hundred voxels
    >>> dvh = DVH.from_dose(dose_gy, np.ones(dose_gy.shape, bool), voxel_cc=0.01)
    >>> dvh.mean_gy, dvh.dose_at_volume(0.95), dvh.dose_at_volume_cc(0.1), dvh.volume_at_dose(51.0)
    (50.5, 6.0, 91.0, 0.5)

    Every reader is NaN for a structure without voxels.
    """

    doses_gy: np.ndarray
    voxel_cc: float

    @classmethod
    def from_dose(cls, dose_gy: np.ndarray, mask: np.ndarray, voxel_cc: float) -> "DVH":
        """Sort the doses inside a structure.

        Parameters
        ----------
        dose_gy: (Z, Y, X), Gy.
        mask: (Z, Y, X), non-zero inside; may be empty.
        voxel_cc: volume of a voxel, cubic centimetres.

        Raises
        ------
        DoseloError: shapes differ, the voxel has no volume, or a dose inside is not a finite number.
        """
        require_same_shape(dose_gy=dose_gy, mask=mask)
        if not voxel_cc > 0:
            raise DoseloError(f"a DVH needs voxels of positive volume, found {voxel_cc} cc")
        inside = np.sort(np.asarray(dose_gy)[np.asarray(mask, bool)].astype(np.float64))
        if broken := int(np.count_nonzero(~np.isfinite(inside))):
            raise DoseloError(
                f"doses inside a structure must be finite numbers, found {broken} of {inside.size} voxels that are "
                "not; the dose is damaged, export or predict it again"
            )
        inside.flags.writeable = False
        return cls(inside, voxel_cc)

    @property
    def volume_cc(self) -> float:
        """Voxels times their volume; NaN without voxels."""
        return self.doses_gy.size * self.voxel_cc if self.doses_gy.size else math.nan

    @property
    def mean_gy(self) -> float:
        return float(self.doses_gy.mean()) if self.doses_gy.size else math.nan

    def dose_at_volume(self, fraction: float) -> float:
        """D_v in Gy: minimum dose to the hottest `fraction`; D95 is `dose_at_volume(0.95)`, D2 `dose_at_volume(0.02)`.

        Raises
        ------
        DoseloError: `fraction` is not in (0, 1].
        """
        if not 0 < fraction <= 1:
            raise DoseloError(f"a fraction of the volume must be above 0 and up to 1, found {fraction}; D95 is 0.95")
        return self._dose_of_hottest(fraction * self.doses_gy.size)

    def dose_at_volume_cc(self, cc: float) -> float:
        """Minimum dose, Gy, to the hottest `cc` cubic centimetres, whole voxels, rounded up.

        A structure smaller than that has no such volume: then the minimum over all of it.

        Raises
        ------
        DoseloError: `cc` is not positive.
        """
        if not cc > 0:
            raise DoseloError(f"a volume must be positive, found {cc} cc")
        return self._dose_of_hottest(min(cc / self.voxel_cc, self.doses_gy.size))

    def _dose_of_hottest(self, voxels: float) -> float:
        if not self.doses_gy.size:
            return math.nan
        return float(self.doses_gy[-max(1, math.ceil(voxels * (1 - VOXEL_TOLERANCE)))])

    def volume_at_dose(self, gy: float) -> float:
        """V_x: fraction of the structure, in [0, 1], that receives at least `gy`."""
        return float(self.curve(np.array([gy]))[0])

    def curve(self, doses_gy: np.ndarray) -> np.ndarray:
        """V_x at many doses, for plots: `doses_gy` (M,), in Gy, to fractions (M,) in [0, 1]; NaN without voxels."""
        if not self.doses_gy.size:
            return np.full(len(doses_gy), math.nan)
        below = np.searchsorted(self.doses_gy, doses_gy, side="left")
        return 1 - below / self.doses_gy.size

    def figures(self) -> dict[str, float]:
        """What tables list of a structure; these are the names of such figures in all files, units included.

        >>> DVH(np.array([1.0, 2.0, 3.0]), 0.1).figures()["d0.1cc_gy"]
        3.0
        """
        return {
            "volume_cc": self.volume_cc,
            "dmean_gy": self.mean_gy,
            "d98_gy": self.dose_at_volume(0.98),
            "d95_gy": self.dose_at_volume(0.95),
            "d50_gy": self.dose_at_volume(0.50),
            "d2_gy": self.dose_at_volume(0.02),
            "d0.1cc_gy": self.dose_at_volume_cc(0.1),
        }


def homogeneity(dvh: DVH) -> float:
    """Homogeneity index of ICRU Report 83: (D2 - D98) / D50. 0 is a uniform dose; NaN without voxels or if D50 is 0."""
    middle_gy = dvh.dose_at_volume(0.50)
    if not middle_gy:
        return math.nan
    return (dvh.dose_at_volume(0.02) - dvh.dose_at_volume(0.98)) / middle_gy


def paddick_conformity(dose_gy: np.ndarray, target: np.ndarray, isodose_gy: float) -> float:
    """Conformity index of Paddick, J Neurosurg 93 (Suppl 3):219, 2000: (TV inside PIV)^2 / (TV * PIV).

    TV is the target, PIV all that receives at least `isodose_gy`, inside and outside. 1 is a perfect fit. Of several
    dose levels, take the union of the targets from the level of `isodose_gy` upwards: PIV holds the boosts as well.

    Parameters
    ----------
    dose_gy: (Z, Y, X), Gy.
    target: (Z, Y, X), non-zero inside.
    isodose_gy: the prescription, or what is accepted for it (95 % of it, often).

    Returns
    -------
    In [0, 1]; 0 if no voxel of the target receives the dose, NaN if the target is empty.

    Raises
    ------
    DoseloError: shapes differ, or `isodose_gy` is not positive.
    """
    require_same_shape(dose_gy=dose_gy, target=target)
    if not isodose_gy > 0:
        raise DoseloError(f"the isodose of a conformity index must be positive, found {isodose_gy} Gy")
    inside, treated = np.asarray(target, bool), np.asarray(dose_gy) >= isodose_gy
    covered = np.count_nonzero(inside & treated)
    if not inside.any():
        return math.nan
    return covered**2 / (np.count_nonzero(inside) * np.count_nonzero(treated)) if covered else 0.0
