"""The patient of `dicom.py`: a CT of 120 slices of 512 x 512, twenty ellipsoids with names of organs, one dose."""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))
from dicom_files import Geometry, Patient, write_images, write_rtdose, write_rtstruct

SHAPE = (120, 512, 512)
GEOMETRY = Geometry(spacing_mm=(2.5, 0.9766, 0.9766), origin_mm=(-250.0, -250.0, -150.0))
DOSE_GEOMETRY = Geometry(spacing_mm=(2.5, 2.5, 2.5), origin_mm=(-140.0, -140.0, -110.0))
DOSE_SHAPE = (90, 112, 112)
POINTS = 180
"""Of each contour, as planning systems draw them."""


@dataclass(frozen=True)
class Ellipsoid:
    """Centre and half-axes, (x, y, z) in mm."""

    centre_mm: tuple[float, float, float]
    half_mm: tuple[float, float, float]

    def contours(self, planes_mm: np.ndarray) -> list[np.ndarray]:
        """One polygon a plane that it reaches; corners a little outside, so that each has the ellipse's area."""
        angle = 2 * np.pi * np.arange(POINTS) / POINTS
        outside = np.sqrt(2 * np.pi / POINTS / np.sin(2 * np.pi / POINTS))
        found = []
        for z in planes_mm:
            level = (z - self.centre_mm[2]) / self.half_mm[2]
            if abs(level) < 1:
                radius = outside * np.sqrt(1 - level**2)
                x = self.centre_mm[0] + self.half_mm[0] * radius * np.cos(angle)
                y = self.centre_mm[1] + self.half_mm[1] * radius * np.sin(angle)
                found.append(np.stack([x, y, np.full(POINTS, z)], axis=1))
        return found


PAIRED = ("Eye", "Parotid", "Cochlea", "OpticNrv", "Glnd_Submand")
UPPER = ("GTV", "Brainstem", "OpticChiasm", "Pituitary", "SpinalCord")
LOWER = ("Esophagus", "Larynx", "Bone_Mandible", "Cavity_Oral", "Thyroid")
NAMES = (*UPPER, *LOWER, *(f"{organ}_{side}" for organ in PAIRED for side in "LR"))


def _ellipsoids() -> dict[str, Ellipsoid]:
    """Left organs lie at positive x, right ones at negative x."""
    generator = np.random.default_rng(0)
    found = {}
    for name in NAMES:
        x, y, z = generator.uniform(-80, 80, 3)
        x = {"L": abs(x), "R": -abs(x)}.get(name.rpartition("_")[2], x)
        found[name] = Ellipsoid((x, y, z), tuple(generator.uniform(12, 35, 3)))
    return found


STRUCTURES = _ellipsoids()


def write_patient(folder: Path) -> None:
    """Once: CT/, rs.dcm and rd.dcm below `folder`."""
    if (folder / "rd.dcm").exists():
        return
    patient = Patient()
    images = write_images(folder / "CT", _ct_hu(), GEOMETRY, patient)
    planes = GEOMETRY.origin_mm[2] + GEOMETRY.spacing_mm[0] * np.arange(SHAPE[0])
    drawn = {name: shape.contours(planes) for name, shape in STRUCTURES.items()}
    structures = write_rtstruct(folder / "rs.dcm", drawn, images, patient)
    dose_gy = np.full(DOSE_SHAPE, 60.0)
    write_rtdose(folder / "rd.dcm", dose_gy, DOSE_GEOMETRY, patient, structure_set=structures.SOPInstanceUID)


def _ct_hu() -> np.ndarray:
    """A cylinder of tissue with noise: compression of the output has something to do."""
    z, y, x = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    inside = ((y - 256) / 200.0) ** 2 + ((x - 256) / 200.0) ** 2 + 0 * z < 1
    noise = np.random.default_rng(1).normal(0, 10, SHAPE).astype(np.float32)
    return np.where(inside, 40.0, -1000.0).astype(np.float32) + noise


def volumes_cc() -> dict[str, float]:
    """Of the ellipsoids."""
    return {name: 4 / 3 * np.pi * float(np.prod(shape.half_mm)) / 1000 for name, shape in STRUCTURES.items()}


def truth(name: str) -> np.ndarray:
    """Voxels whose centres lie inside, (Z, Y, X)."""
    shape = STRUCTURES[name]
    axes = [
        (GEOMETRY.origin_mm[i] + GEOMETRY.spacing_mm[2 - i] * np.arange(SHAPE[2 - i]) - shape.centre_mm[i])
        / shape.half_mm[i]
        for i in range(3)
    ]
    x, y, z = axes
    return x[None, None, :] ** 2 + y[None, :, None] ** 2 + z[:, None, None] ** 2 < 1


def mapping_text() -> str:
    """The names are TG-263's already."""
    organs = "\n".join(f"  {name}: {{}}" for name in NAMES if name != "GTV")
    return f"targets:\n  GTV: {{gy: 60}}\norgans:\n{organs}\n"
