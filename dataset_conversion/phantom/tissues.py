"""What a patient is made of: each tissue's CT number and MR properties, and how much of each is in a voxel."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Tissue:
    """CT number, and what a spin echo at 3 T sees.

    t1_ms, t2_ms: relaxation times. density: of visible protons, relative to water; flowing blood has little.
    gadolinium_mm: concentration of contrast agent after injection, in mmol/l; 0 behind the blood-brain barrier.
    """

    hu: float
    t1_ms: float
    t2_ms: float
    density: float
    gadolinium_mm: float = 0.0


# Relaxation of healthy tissue: Stanisz et al., MRM 54:507 (2005), Wansapura et al., JMRI 9:531 (1999), rounded. Of
# lesions: typical of the ranges in print. Gadolinium: enough to look as bright as it does in the clinic.
TISSUES = {
    "air": Tissue(-1000, 1000, 1, 0.0),
    "muscle": Tissue(55, 1400, 45, 0.80, 0.05),
    "fat": Tissue(-95, 380, 110, 0.85),
    "bone": Tissue(1150, 500, 5, 0.10),
    "marrow": Tissue(450, 450, 70, 0.45, 0.05),
    "csf": Tissue(8, 4200, 1800, 1.00),
    "grey": Tissue(38, 1350, 100, 0.84),
    "white": Tissue(30, 850, 75, 0.71),
    "vitreous": Tissue(8, 4000, 1200, 1.00),
    "lens": Tissue(80, 1200, 30, 0.65),
    "gland": Tissue(45, 1100, 85, 0.82, 0.40),
    "vessel": Tissue(55, 1600, 60, 0.50, 3.00),
    "plexus": Tissue(42, 1500, 150, 0.90, 0.35),
    "dura": Tissue(60, 1100, 50, 0.70, 0.30),
    "tumour": Tissue(40, 1500, 135, 0.90, 0.30),
    "oedema": Tissue(22, 1500, 165, 0.88),
    "gliosis": Tissue(25, 1300, 140, 0.82),
    "cavity": Tissue(13, 3000, 900, 1.00),
    "blood": Tissue(62, 420, 50, 0.80),
    "meningioma": Tissue(48, 1350, 85, 0.84, 0.35),
}


class Composition:
    """Shares of all tissues in every voxel; they always add up to 1. It begins as air."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._shares = {"air": np.ones(shape, np.float32)}

    def share(self, tissue: str) -> np.ndarray:
        """(Z, Y, X) in [0, 1]."""
        return self._shares.get(tissue, np.zeros_like(self._shares["air"]))

    def paint(self, tissue: str, cover: np.ndarray) -> None:
        """Put `tissue` over what is there: `cover` (Z, Y, X), in [0, 1], says how much of a voxel it takes."""
        where = cover > 0
        rest = (1 - cover[where]).astype(np.float32)
        painted = self._shares.setdefault(tissue, np.zeros_like(self._shares["air"]))
        for share in self._shares.values():
            share[where] *= rest
        painted[where] += 1 - rest

    def mixed(self, of_tissue: dict[str, float]) -> np.ndarray:
        """The mean of a property over each voxel's tissues, float32; tissues must all have a value."""
        total = np.zeros_like(self._shares["air"])
        for tissue, share in self._shares.items():
            total += np.float32(of_tissue[tissue]) * share
        return total
