"""One interface to plan a dose on a contour, whichever engine does the work.

Fluence optimisation, not a deliverable plan: no leaves, no monitor units, no robustness. It is there to compare the
doses of contours with each other.
"""

from dataclasses import dataclass, field

import numpy as np

SAD_MM = 1000.0
ENGINES = ("fluence", "pydosert")


@dataclass(frozen=True)
class Beams:
    """Coplanar photon beams and the lattice their bixels lie on.

    >>> from nnunet_doselo import Beams
    >>> Beams.equispaced(4, bixel_mm=6.0)
    Beams(gantry_deg=(0.0, 90.0, 180.0, 270.0), bixel_mm=6.0)

    gantry_deg: IEC 61217, of a patient who lies head first supine: 0 comes from anterior (low y), 90 from the
        patient's left (high x).
    bixel_mm: edge of a bixel in the plane of the isocentre. One bixel is centred on the isocentre; the lattice goes
        on as far as a target needs it, so two targets planned with the same isocentre and beams share it.
    """

    gantry_deg: tuple[float, ...]
    bixel_mm: float

    @classmethod
    def equispaced(cls, number: int = 36, bixel_mm: float = 3.0) -> "Beams":
        """`number` beams over the full circle, the first from anterior."""
        return cls(tuple(360.0 * i / number for i in range(number)), bixel_mm)


@dataclass(frozen=True)
class Plan:
    """A planned dose, and all that is needed to plan another contour alike.

    dose_gy: (Z, Y, X) float32, 0 outside the body.
    isocentre_mm: (z, y, x) from the centre of voxel 0.
    fluence: (beams, rows, columns) float32, relative; rows run along +z, columns along the beam's own lateral axis
        (at gantry 0 that is +x, at 90 it is +y); both numbers are odd and the middle bixel is the isocentre's.
    notes: what a reader of the dose has to know, one sentence each; empty if nothing.
    """

    dose_gy: np.ndarray
    isocentre_mm: tuple[float, float, float]
    beams: Beams
    fluence: np.ndarray
    prescription_gy: float
    engine: str
    iterations: int
    converged: bool
    notes: tuple[str, ...] = field(default=())
