"""From a contour to a planned dose, by either engine."""

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import center_of_mass

from nnunet_doselo.common.errors import DoseloError

from .fluence import ITERATIONS, Optimum, optimise
from .influence import PlannedPatient
from .interface import ENGINES, Beams, Plan
from .pydosert import dose_of_fluence
from .tissue import Body, find_body, relative_electron_density

PRESCRIPTION_GY = 60.0
"""In 30 fractions, as for glioblastoma: what a target without a dose of its own is given."""
EMPTY_TARGET = "no dose: the target is empty"
NOTED_CC = 5.0
"""Tissue beside the patient's body that is worth a note; ears and nose alone are less."""


def plan_dose(
    ct_hu: np.ndarray,
    target_gy: np.ndarray,
    oars: np.ndarray,
    spacing_mm: Sequence[float],
    *,
    engine: str = "fluence",
    isocentre_mm: Sequence[float] | None = None,
    beams: Beams | None = None,
    allow_empty: bool = False,
    iterations: int = ITERATIONS,
) -> Plan:
    """Plan coplanar photon beams on a target and normalise to D50 of its highest level.

    >>> import numpy as np
    >>> from nnunet_doselo import Beams, plan_dose
    >>> ct_hu = np.full((16, 24, 24), -1000)
    >>> ct_hu[2:-2, 3:-3, 3:-3] = 0  # water in air
    >>> target = np.zeros(ct_hu.shape, bool)
    >>> target[6:10, 10:14, 10:14] = True
    >>> no_organs = np.zeros(ct_hu.shape, int)
    >>> plan = plan_dose(ct_hu, target, no_organs, (4.0, 4.0, 4.0), beams=Beams.equispaced(4, bixel_mm=8.0))
    >>> plan.dose_gy.shape, round(float(np.median(plan.dose_gy[target])))
    ((16, 24, 24), 60)
    >>> bool(plan.dose_gy[target].min() > 1.5 * plan.dose_gy[~target].mean())
    True

    Parameters
    ----------
    ct_hu: (Z, Y, X) HU; axial slices, y to posterior, x to the patient's left. Couch and frame are left out.
    target_gy: (Z, Y, X) prescribed dose in each voxel, 0 outside; several levels are a simultaneous integrated
        boost. Boolean: 60 Gy (in 30 fractions) where True. No island is too small to be planned.
    oars: (Z, Y, X) integer labels of organs at risk; every label above 0 is spared alike.
    spacing_mm: (z, y, x).
    engine: "fluence"; or "pydosert" (extra `tps`): the same fluence, its dose by PyDoseRT.
    isocentre_mm: (z, y, x) from the centre of voxel 0; default: the target's centre of mass.
    beams: default: 36 equispaced beams, bixels of 3 mm. Give those of a reference plan to plan another contour alike.
    allow_empty: a target without a voxel in the body gives zero dose and a note, where it is an error otherwise.
    iterations: of the optimiser, at most.

    Raises
    ------
    DoseloError: shapes differ, spacing is not positive, CT or target is not finite, an unknown engine, a scan without
        a body, a target without a voxel in it, PyDoseRT wanted and not installed.
    """
    if target_gy.dtype == bool:
        target_gy = PRESCRIPTION_GY * target_gy
    _require_plannable(ct_hu, target_gy, oars, spacing_mm, engine)
    beams = beams or Beams.equispaced()
    body = find_body(ct_hu, spacing_mm)
    inside_gy = _target_in_body(target_gy, body, allow_empty)
    notes = _notes(target_gy, inside_gy, body)
    if not inside_gy.any():
        return _no_plan(ct_hu, isocentre_mm, beams, engine, notes)
    if isocentre_mm is None:
        isocentre_mm = [float(i) * s for i, s in zip(center_of_mass(inside_gy > 0), spacing_mm, strict=True)]
    density = np.where(body.mask, relative_electron_density(ct_hu), 0)
    patient = PlannedPatient(density, body.mask, _triple(spacing_mm), _triple(isocentre_mm))
    prescription_gy = float(inside_gy.max())
    organs = np.where(body.mask, oars, 0)
    optimum = optimise(patient, inside_gy / prescription_gy, organs, beams, iterations=iterations)
    dose = _relative_dose(engine, optimum, ct_hu, beams)
    scale = prescription_gy / float(np.median(dose[inside_gy == inside_gy.max()]))
    return Plan(
        dose_gy=(dose * scale).astype(np.float32),
        isocentre_mm=patient.isocentre_mm,
        beams=beams,
        fluence=(optimum.fluence * scale).astype(np.float32),
        prescription_gy=prescription_gy,
        engine=engine,
        iterations=optimum.iterations,
        converged=optimum.converged,
        notes=notes,
    )


def _require_plannable(
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


def _target_in_body(target_gy: np.ndarray, body: Body, allow_empty: bool) -> np.ndarray:
    inside_gy = np.where(body.mask, target_gy, 0.0)
    if not inside_gy.any() and not allow_empty:
        raise DoseloError(
            f"a target needs at least one voxel inside the body: found {np.count_nonzero(target_gy)} voxels of target, "
            f"{np.count_nonzero(body.mask)} of body, none in common; to score an empty contour, allow zero dose"
        )
    return inside_gy


def _notes(target_gy: np.ndarray, inside_gy: np.ndarray, body: Body) -> tuple[str, ...]:
    voxels, planned = np.count_nonzero(target_gy), np.count_nonzero(inside_gy)
    notes = []
    if not planned:
        notes.append(f"no dose: none of the target's {voxels} voxels lies in the body" if voxels else EMPTY_TARGET)
    elif planned < voxels:
        notes.append(f"{voxels - planned} of the target's {voxels} voxels lie outside the body and were left out")
    if body.ignored_cc > NOTED_CC:
        notes.append(f"{body.ignored_cc:.0f} cc of tissue beside the body (couch, frame, mask) were taken for air")
    return tuple(notes)


def _no_plan(
    ct_hu: np.ndarray, isocentre_mm: Sequence[float] | None, beams: Beams, engine: str, notes: tuple[str, ...]
) -> Plan:
    """Zero dose of an empty contour."""
    return Plan(
        dose_gy=np.zeros(ct_hu.shape, np.float32),
        isocentre_mm=_triple(isocentre_mm or (0.0, 0.0, 0.0)),
        beams=beams,
        fluence=np.zeros((len(beams.gantry_deg), 1, 1), np.float32),
        prescription_gy=0.0,
        engine=engine,
        iterations=0,
        converged=True,
        notes=notes,
    )


def _relative_dose(engine: str, optimum: Optimum, ct_hu: np.ndarray, beams: Beams) -> np.ndarray:
    if engine == "fluence":
        return optimum.influence.dose(optimum.fluence)
    patient = optimum.influence.patient
    return dose_of_fluence(optimum.fluence, ct_hu, patient.spacing_mm, patient.isocentre_mm, beams, body=patient.body)


def _triple(values: Sequence[float]) -> tuple[float, float, float]:
    z, y, x = (float(v) for v in values)
    return z, y, x
