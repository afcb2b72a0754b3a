"""Randomness of one case: streams that do not disturb each other, and smooth fields in space."""

from typing import Literal

import numpy as np
from scipy import ndimage

Purpose = Literal["anatomy", "tumour", "distractors", "images", "variants"]
PURPOSES: tuple[Purpose, ...] = ("anatomy", "tumour", "distractors", "images", "variants")
CUBE_MM = 320.0
"""Edge of the cube around the patient's origin in which fields are defined; it holds every head."""


def generator(seed: int, number: int, purpose: Purpose, *more: int) -> np.random.Generator:
    """The stream of one purpose of case `number` of cohort `seed`; it depends on nothing else.

    NumPy's seed sequences hash all numbers together: another seed or number gives an unrelated stream.
    """
    return np.random.default_rng([seed, number, PURPOSES.index(purpose), *more])


def smooth_field(rng: np.random.Generator, points_mm: tuple[np.ndarray, ...], knot_mm: float) -> np.ndarray:
    """A random field, normally distributed with variance 1 at its knots, cubic between them.

    The knots lie in the patient, not in the grid, so that the spacing does not change the field.

    Parameters
    ----------
    points_mm: the grid's axes z, y, x as three 1-D arrays of patient coordinates.
    knot_mm: distance of the knots; structures are about twice as large.

    Returns
    -------
    float32 (Z, Y, X).
    """
    knots = rng.standard_normal((round(CUBE_MM / knot_mm) + 1,) * 3)
    for axis, positions in enumerate(points_mm):
        knots = _interpolate(knots, axis, (positions + CUBE_MM / 2) / knot_mm)
    return knots.astype(np.float32)


def _interpolate(values: np.ndarray, axis: int, positions: np.ndarray) -> np.ndarray:
    """Cubic spline along one axis, at fractional indices; constant beyond the first and the last knot."""
    coefficients = ndimage.spline_filter1d(values, order=3, axis=axis, mode="nearest")
    index = np.clip(positions, 0, values.shape[axis] - 1)
    below = np.floor(index).astype(int)
    result = 0.0
    for neighbour in range(-1, 3):
        weight = _cubic_b_spline(index - (below + neighbour))
        shape = [-1 if a == axis else 1 for a in range(values.ndim)]
        taken = np.take(coefficients, below + neighbour, axis=axis, mode="clip")
        result = result + taken * weight.reshape(shape)
    return np.asarray(result)


def _cubic_b_spline(distance: np.ndarray) -> np.ndarray:
    d = np.abs(distance)
    return np.where(d < 1, 2 / 3 - d**2 + d**3 / 2, np.clip(2 - d, 0, None) ** 3 / 6)
