"""Integrals that tests of the planner share."""

import numpy as np
from scipy.integrate import quad


def square_share(half_mm: float, length_mm: float) -> float:
    """Integral of exp(-r / length) / (2 pi length r) over a centred square, in polar coordinates: eight triangles."""
    return 8 * quad(lambda a: (1 - np.exp(-half_mm / np.cos(a) / length_mm)) / (2 * np.pi), 0, np.pi / 4)[0]
