"""What must hold before anything is planned."""

from collections.abc import Sequence

import numpy as np

from nnunet_doselo.common.errors import DoseloError

from .interface import ENGINES


def require_plannable(
    ct_hu: np.ndarray, target_gy: np.ndarray, oars: np.ndarray, spacing_mm: Sequence[float], engine: str
) -> None:
    """Raise DoseloError if shapes, spacing, values or the engine's name cannot be used; says what and where."""
    if engine not in ENGINES:
        raise DoseloError(f"engine must be one of {', '.join(ENGINES)}; found {engine!r}")
    if ct_hu.ndim != 3 or not ct_hu.shape == target_gy.shape == oars.shape:
        raise DoseloError(
            "CT, target and organs must be volumes (Z, Y, X) on one grid; "
            f"found {ct_hu.shape}, {target_gy.shape} and {oars.shape}"
        )
    if len(spacing_mm) != 3 or not all(np.isfinite(s) and s > 0 for s in spacing_mm):
        raise DoseloError(f"spacing (z, y, x) must be three positive lengths in mm; found {tuple(spacing_mm)}")
    _require_finite("CT", ct_hu)
    _require_finite("target", target_gy)
    if target_gy.min() < 0:
        raise DoseloError(f"prescribed doses must be 0 or more; found {target_gy.min()} Gy")
    if not np.issubdtype(oars.dtype, np.integer) or oars.min() < 0:
        raise DoseloError(f"organs must be integer labels of 0 or more; found {oars.dtype}, least {oars.min()}")


def _require_finite(name: str, volume: np.ndarray) -> None:
    wrong = ~np.isfinite(volume)
    if wrong.any():
        where = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise DoseloError(
            f"{name} must be finite; found {np.count_nonzero(wrong)} voxels that are not, the first at (z, y, x) = "
            f"{where}; repair the image before planning"
        )
