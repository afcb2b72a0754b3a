"""Where a rigid registration starts from: guesses at the shift, and turned copies of the best one."""

import numpy as np
import SimpleITK as sitk

TOP_MM = 120.0
"""From the vertex down: the head, without neck and shoulders, which only one of the images may show."""
TURN_DEG = 20.0
"""A head in a coil and in a mask: nodding above all."""


def shifted(fixed_mm: np.ndarray, moving_mm: np.ndarray) -> list[sitk.Euler3DTransform]:
    """Points (N, 3) of what the images show: centre to centre, vertex to vertex, and where the scanners put them."""
    centre = fixed_mm.mean(axis=0)
    shifts = (moving_mm.mean(axis=0) - centre, _vertex(moving_mm) - _vertex(fixed_mm), np.zeros(3))
    # turns are about the head that is sought: where the moving image's centre comes from
    return [_start(moving_mm.mean(axis=0) - shift, shift) for shift in shifts]


def turned(start: sitk.Euler3DTransform) -> list[sitk.Euler3DTransform]:
    """Six: forwards and backwards about the three axes."""
    angles = np.radians(TURN_DEG) * np.vstack([np.eye(3), -np.eye(3)])
    copies = [sitk.Euler3DTransform(start) for _ in angles]
    for copy, (x, y, z) in zip(copies, angles.tolist(), strict=True):
        copy.SetRotation(x, y, z)
    return copies


def _start(centre_mm: np.ndarray, shift_mm: np.ndarray) -> sitk.Euler3DTransform:
    transform = sitk.Euler3DTransform()
    transform.SetCenter(centre_mm.tolist())
    transform.SetTranslation(shift_mm.tolist())
    return transform


def _vertex(points_mm: np.ndarray) -> np.ndarray:
    """The uppermost point in z, in the middle of what lies below it."""
    top = np.percentile(points_mm[:, 2], 99.5)
    head = points_mm[points_mm[:, 2] > top - TOP_MM]
    return np.array([*head[:, :2].mean(axis=0), top])
